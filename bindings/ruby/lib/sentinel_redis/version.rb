# frozen_string_literal: true

class SentinelRedis
  VERSION = "0.1.0"
end
