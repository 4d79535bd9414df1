#![no_main]

use std::sync::OnceLock;

use sentinel::{Client, Deployment, Options};
use sentinel_lab::{Config, FakeSentinel, Topology};

/// A client of a real server, on which no command harms the machine, holds the server up or is about other peers.
struct World {
    client: Client,
    _held: (Deployment, FakeSentinel, Topology),
}

impl World {
    fn start() -> World {
        let topology = Topology::start(Config::default().nodes(1).sentinels(0));
        let node = topology.node(0);
        for command in [
            "CONFIG SET proto-max-bulk-len 1mb maxmemory 100mb maxmemory-policy allkeys-random",
            "ACL SETUSER default -@dangerous -@admin -@scripting -lcs +info +role",
        ] {
            let args: Vec<&str> = command.split(' ').collect();
            assert!(!node.ask(&args).is_error(), "{command}");
        }
        let sentinel = FakeSentinel::start("fuzzed", node.port());
        let mut options = Options::new();
        options.add_sentinel("127.0.0.1", sentinel.port()).unwrap();
        let deployment = Deployment::open(&options).unwrap();
        let client = deployment.primary_for(Some("fuzzed"), None).unwrap();
        World {
            client,
            _held: (deployment, sentinel, topology),
        }
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static WORLD: OnceLock<World> = OnceLock::new();
    sentinel::fuzzing::socket(&WORLD.get_or_init(World::start).client, data);
});
