# frozen_string_literal: true

# What C gave and was given back, once each; and after such a call other threads have their chance, with the exceptions
# that they send: what must not be left between two lines is left there, if it can be.
module StormLedger
  FREES = %i[queue_free subscription_free connection_release batch_free scan_free client_free options_free
             script_free free].freeze
  MAKES = %i[client_acquire queue_new subscription_new scan_new].freeze
  OPEN = {} # addresses

  class << self
    # Called with what was freed twice.
    attr_accessor :twice

    def begin(&twice)
      self.twice = twice
      SentinelRedis::Native::Handle.prepend(Given)
      SentinelRedis::Native.singleton_class.prepend(Calls)
    end
  end

  module Given
    def initialize(pointer, release)
      OPEN[pointer.address] = true
      super
    end
  end

  module Calls
    FREES.each do |name|
      define_method(name) do |pointer|
        OPEN.delete(pointer.address) || StormLedger.twice.call(name, pointer)
        super(pointer)
        Thread.pass
      end
    end

    MAKES.each do |name|
      define_method(name) do |*arguments|
        status = super(*arguments)
        Thread.pass
        status
      end
    end
  end
end
