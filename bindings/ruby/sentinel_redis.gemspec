# frozen_string_literal: true

require_relative "lib/sentinel_redis/version"

Gem::Specification.new do |gem|
  gem.name = "sentinel_redis"
  gem.version = SentinelRedis::VERSION
  gem.summary = "Redis and Valkey through Sentinel, with failover"
  gem.authors = ["The libsentinel authors"]
  gem.license = "MIT"
  gem.files = Dir["lib/**/*.rb", "ext/**/*.{rb,c,h}", "README.md", base: __dir__]
  gem.required_ruby_version = ">= 3.0"
  if (platform = ENV.fetch("SENTINEL_GEM_PLATFORM", nil))
    # The gem of a platform (make dist) brings the library along, and the extension for the Rubies that it was made for.
    gem.platform = platform
    # Before it RubyGems takes what is for musl for its own everywhere.
    gem.required_rubygems_version = ">= 3.3.22" if platform.end_with?("-musl")
    gem.files = Dir["lib/**/*", "README.md", "LICENSE", "THIRD-PARTY.txt", base: __dir__]
  else
    # libsentinel.so.0 is loaded. What is compiled, where there is a compiler, makes calls faster and is missed by nothing.
    gem.extensions = ["ext/sentinel_redis/mkrf_conf.rb"]
  end
  gem.add_runtime_dependency "ffi", "~> 1.15"
end
