# frozen_string_literal: true

require_relative "lib/sentinel_redis/version"

Gem::Specification.new do |gem|
  gem.name = "sentinel_redis"
  gem.version = SentinelRedis::VERSION
  gem.summary = "Redis and Valkey through Sentinel, with failover"
  gem.authors = ["The libsentinel authors"]
  gem.license = "MIT"
  gem.files = Dir["lib/**/*.rb", "README.md", base: __dir__]
  gem.required_ruby_version = ">= 3.0"
  # Nothing is compiled at install: libsentinel.so.0 is loaded.
  gem.add_runtime_dependency "ffi", "~> 1.15"
end
