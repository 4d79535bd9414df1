//! What `--help` prints. The manual page, tests/lab/libsentinel-lab.1, says the same at length, and a test compares them.

pub(crate) const HELP: &str = "\
KIT run [OPTION...] -- COMMAND [ARGUMENT...]
    Starts a Redis or Valkey primary, replicas and Sentinels on free ports of loopback, runs COMMAND, ends all of them,
    and exits with COMMAND's status. COMMAND's environment has SERVICE, SENTINELS (HOST:PORT,...), NODES, SENTINEL_URL,
    and LAB_CONTROL for `KIT ctl`; with --tls also TLS_CA_FILE.
        --replicas N              replicas (2)
        --sentinels N             Sentinels (3)
        --quorum N                how many Sentinels find the primary down (a majority)
        --down-after MS           down-after-milliseconds (500)
        --default-timers          the Sentinels' own timers in place of short ones; down-after is 1000
        --service NAME            the name of the primary (mymaster)
        --password TEXT           of the data nodes
        --user NAME:TEXT          an ACL user on the data nodes
        --sentinel-password TEXT  of the Sentinels
        --tls                     TLS everywhere, by an authority of its own
        --proxy                   a proxy in front of every server, for faults
        --fake-sentinels N        Sentinels that can lie, the first of SENTINELS
        --node-config LINE        one more line for redis.conf of the data nodes; may be given again
        --sentinel-config LINE    the same for sentinel.conf
        --hostnames               names in place of addresses
        --ipv6                    ::1 in place of 127.0.0.1
        --server PROGRAM          in place of redis-server or valkey-server, as LAB_SERVER
        --sentinel PROGRAM        in place of redis-sentinel or valkey-sentinel, as LAB_SENTINEL
        --nodes N                 data nodes: the primary and its replicas (3)

KIT ctl ORDER
    Inside COMMAND. SERVER is primary, replica, replica-N, node-N, sentinel-N or HOST:PORT.
        status [--json]           how everything is
        primary                   the address of the primary
        nodes                     the data nodes, one a line: address, process id, running, stopped or down
        sentinels                 the same of the Sentinels
        logs [SERVER]             the last lines of the servers' logs
        kill SERVER               kill -9; kill-primary is short for kill primary
        restart SERVER            starts it again on its port
        restart-killed            starts all that do not run
        freeze SERVER             SIGSTOP; stop is the same
        thaw [SERVER]             SIGCONT, for all that are frozen or for one; cont is the same
        fail-over                 orders a failover, by SENTINEL FAILOVER
        wait-settled              waits until one primary serves and everybody agrees, half a minute at most
        wait-primary-change OLD   waits until the Sentinels name another than OLD, which is HOST:PORT or node-N
      With run --proxy, for connections of clients, and with --all also for those of the servers among each other:
        delay SERVER MS           everything takes so much longer, each way
        cut SERVER                resets the open connections
        refuse SERVER             resets every new connection
        black-hole SERVER         takes connections, and nothing comes through
        half-open SERVER          the same for the connections that are open; new ones go through
        pass [SERVER]             lifts the faults
      With run --fake-sentinels:
        lie fake-N HOW [SERVER]   HOW is wrong-primary, stale-epoch, silent, unknown-service or honest

KIT --help, KIT --version

Exit status of run: that of COMMAND, 128 and the signal's number when one killed it; 125 when the kit itself fails; 126
when COMMAND cannot be run; 127 when there is no such program. Of ctl: 0 done, 1 it cannot be done, 2 no such order,
3 nobody is there to obey. With LAB_KEEP in the environment the servers' folder stays.
";

pub(crate) fn text(name: &str) -> String {
    HELP.replace("KIT", name)
}
