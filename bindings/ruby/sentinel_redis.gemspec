# frozen_string_literal: true

require_relative "lib/sentinel_redis/version"

Gem::Specification.new do |gem|
  gem.name = "sentinel_redis"
  gem.version = SentinelRedis::VERSION
  gem.summary = "Redis and Valkey through Sentinel, with failover"
  gem.authors = ["The libsentinel authors"]
  gem.license = "MIT"
  gem.files = Dir["lib/**/*.rb", "ext/**/*.{rb,c}", "README.md", base: __dir__]
  gem.required_ruby_version = ">= 3.0"
  # libsentinel.so.0 is loaded. What is compiled, where there is a compiler, makes calls faster and is missed by nothing.
  gem.extensions = ["ext/sentinel_redis/mkrf_conf.rb"]
  gem.add_runtime_dependency "ffi", "~> 1.15"
end
