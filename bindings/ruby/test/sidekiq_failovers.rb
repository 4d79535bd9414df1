# frozen_string_literal: true

# sidekiq_failovers.rb libsentinel|redis-client: Sidekiq through KILLS (10) kill -9 of the primary and PLANNED (10) failovers
# that are ordered, while PUSHERS (4) threads push a job every EVERY (0.01) seconds each, and a process of its own executes
# them. Inside `lab run`, with redis-client, connection_pool and sidekiq. One line for each kind of
# failover, and exit status 1 where libsentinel fails a push that is ordered, or loses or repeats a job.
require "json"
require "open3"
require "tempfile"
require "logger"
require "sidekiq"
require "sidekiq/embedded"

WAY = ARGV.fetch(0)
KILLS = Integer(ENV.fetch("KILLS", "10"))
PLANNED = Integer(ENV.fetch("PLANNED", "10"))
PUSHERS = Integer(ENV.fetch("PUSHERS", "4"))
EVERY = Float(ENV.fetch("EVERY", "0.01"))
PATIENCE = 60
# What Sidekiq is given; all else is its own default.
REDIS = {
  name: ENV.fetch("SERVICE"),
  sentinels: ENV.fetch("SENTINELS").split(",").map { |address| address.split(":").then { |host, port| { host: host, port: Integer(port) } } },
  timeout: 15
}
case WAY
when "libsentinel"
  require "sentinel_redis/redis_client"
  REDIS[:driver] = :libsentinel
when "redis-client" then nil
else abort "#{WAY}: libsentinel or redis-client"
end

# Tells the ledger that it was executed.
class Told
  include Sidekiq::Job
  sidekiq_options retry: false

  def perform(number) = LEDGER.syswrite("#{number}\n")
end

def quiet(config)
  config.logger = Logger.new(ENV["SIDEKIQ_LOG"] || File::NULL)
  config.redis = REDIS
end

# The process that executes, until its input ends.
if ARGV[1] == "worker"
  LEDGER = File.open(ARGV.fetch(2), "a")
  worker = Sidekiq.configure_embed do |config|
    quiet(config)
    config.concurrency = 5
  end
  worker.run
  $stdin.read
  worker.stop
  exit
end

Sidekiq.configure_client { |config| quiet(config) }

def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

def lab(*order)
  output, status = Open3.capture2e(ENV.fetch("LAB"), "ctl", *order)
  abort "lab ctl #{order.join(" ")}: #{output}" unless status.success?
  output.strip
end

# Asks until the answer is yes; false when it never is.
def eventually
  deadline = now + PATIENCE
  until yield
    return false if now > deadline

    sleep 0.02
  end
  true
end

# Pushes from several threads, and keeps what became of each.
class Pushers
  attr_reader :failed

  def initialize(first)
    @next = first
    @lock = Mutex.new
    @pushed = []
    @failed = {}
    @slowest = 0.0
    @threads = Array.new(PUSHERS) { Thread.new { push until @stop } }
  end

  def pushed = @lock.synchronize { @pushed.dup }
  def count = @lock.synchronize { @pushed.size }
  def slowest = @slowest

  def stop
    @stop = true
    @threads.each(&:join)
  end

  private

  def push
    number = @lock.synchronize { @next += 1 }
    begun = now
    begin
      Told.perform_async(number)
      @lock.synchronize { @pushed << number }
    rescue StandardError => e
      @lock.synchronize { @failed[number] = "#{e.class}: #{e.message}" }
    end
    @lock.synchronize { @slowest = [@slowest, now - begun].max }
    sleep EVERY
  end
end

# Runs so many failovers under pushes, and says what became of the jobs.
def through(kind, times, ledger, first)
  pushers = Pushers.new(first)
  abort "nothing is pushed: #{pushers.failed.values.last}" unless eventually { pushers.count > 10 * PUSHERS }
  # A process that first hears of the service in the middle of a failover has not heard of its beginning.
  abort "nothing is executed" unless eventually { File.foreach(ledger).any? { |line| line.to_i > first } }
  times.times do
    old = lab("primary")
    yield
    lab("wait-primary-change", old)
    before = pushers.count
    abort "nothing is pushed after a failover: #{pushers.failed.values.last}" unless eventually { pushers.count > before + PUSHERS }
    lab("restart-killed") if kind == "kills"
    lab("wait-settled")
  end
  pushers.stop
  executed = -> { File.readlines(ledger).map(&:to_i).select { |number| number > first }.tally }
  eventually { (pushers.pushed - executed.call.keys).empty? }
  # One that runs twice does so by now: the queue is empty.
  abort "the queue is not emptied" unless eventually { Sidekiq.redis { |redis| redis.call("LLEN", "queue:default") }.zero? }
  done = executed.call
  failed = pushers.failed
  told = { way: WAY, kind: kind, times: times, pushed: pushers.count, failed: failed.size,
           unknown: failed.each_value.count { |text| text.include?("UNKNOWN") },
           failed_but_executed: (failed.keys & done.keys).size, lost: (pushers.pushed - done.keys).size,
           twice: done.count { |_, count| count > 1 }, slowest_push_ms: (pushers.slowest * 1000).round }
  puts told.map { |name, value| "#{name}=#{value}" }.join(" ")
  failed.each_value.map { |text| text[0, 90] }.tally.each { |text, count| puts "  #{count} x #{text}" }
  $stdout.flush
  told
end

Tempfile.create("executed") do |ledger|
  peers = $LOAD_PATH.map { |folder| "-I#{folder}" }
  worker = IO.popen([RbConfig.ruby, *peers, __FILE__, WAY, "worker", ledger.path], "w")
  planned = through("planned", PLANNED, ledger.path, 0) { lab("fail-over") }
  killed = through("kills", KILLS, ledger.path, 10_000_000) { lab("kill-primary") }
  worker.close
  # What a kill leaves unknown of a push under way is told, and is no failure: at most one a thread.
  bad = planned[:failed] + [planned, killed].sum { |told| told[:lost] + told[:twice] } +
        [killed[:failed] - KILLS * PUSHERS, 0].max
  exit(WAY == "libsentinel" && bad.positive? ? 1 : 0)
end
