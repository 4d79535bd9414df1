# frozen_string_literal: true

class SentinelRedis
  # Why a call failed.
  class Error < StandardError
    # The library's number of the status, such as -200.
    attr_reader :status
    # Behind PrimaryNotFoundError and ReplicaNotFoundError: one of REASONS, otherwise :none.
    attr_reader :reason
    # What became of the command: :not_sent and :refused are promises that it did not execute; :unknown is none.
    attr_reader :outcome
    # The first word of the server's error reply, such as "WRONGTYPE".
    attr_reader :server_code
    # host:port of the node at which the call failed.
    attr_reader :endpoint
    # One line for every Sentinel and node that was tried.
    attr_reader :attempts

    REASON = Native.names("REASON_")
    OUTCOME = Native.names("OUTCOME_")
    private_constant :REASON, :OUTCOME
    REASONS = REASON.values.freeze
    OUTCOMES = OUTCOME.values.freeze

    def initialize(message = nil, status: nil, reason: :none, outcome: :not_sent, server_code: nil, endpoint: nil, attempts: [])
      super(message)
      @status = status || CLASSES.key(self.class) || 0
      @reason = reason
      @outcome = outcome
      @server_code = server_code
      @endpoint = endpoint
      @attempts = attempts
    end

    # For the library.
    attr_writer :outcome

    # True for every failure that means "no connection to the service".
    def connection_error? = is_a?(ConnectionError)

    # The exception for a failed call; frees the library's error.
    def self.take(status, error)
      kind = CLASSES.fetch(status) { Native.status_is_connection_error(status).zero? ? Error : ConnectionError }
      return kind.new(Native.status_message(status), status: status) if error.null?

      begin
        kind.new(in_ruby(text(:error_message, error)), status: status, **details(error))
      ensure
        Native.error_free(error)
      end
    end

    # The error that an element of a batch or of EXEC is, by the address of its node. Only the server's own word is :refused.
    def self.element(address)
      error = Native.reply_failure_at(address)
      take(Native.error_status(error), error)
    end

    # For what the library's messages call by its name in C.
    NAMES = {
      "call sentinel_options_add_sentinel" => "give sentinels:",
      "sentinel_batch_run with SENTINEL_BATCH_TRANSACTION" => "multi", "sentinel_client_acquire" => "acquire",
      "sentinel_subscription_new" => "subscribe", "sentinel_call_t.replicas" => "replicas:",
      "sentinel_submit_queued" => "a thread", "sentinel_client_free" => "close of the deployment",
      "sentinel_command" => "call", "sentinel_open" => "SentinelRedis.new"
    }.freeze
    private_constant :NAMES

    def self.in_ruby(message)
      return message unless message&.include?("sentinel_")

      message.gsub(Regexp.union(NAMES.keys), NAMES)
    end

    def self.details(error)
      {
        reason: REASON[Native.error_reason(error)] || :none,
        outcome: OUTCOME[Native.error_outcome(error)] || :unknown,
        server_code: text(:error_server_code, error),
        endpoint: text(:error_endpoint, error),
        attempts: Array.new(Native.error_attempts(error)) { |index| text(:error_attempt, error, index) }
      }
    end

    def self.text(name, *arguments)
      length = FFI::MemoryPointer.new(:size_t)
      pointer = Native.public_send(name, *arguments, length)
      pointer.null? ? nil : pointer.read_bytes(length.read(:size_t)).force_encoding(Encoding::UTF_8)
    end
    private_class_method :details, :in_ruby, :text
  end

  # No connection to the service.
  class ConnectionError < Error; end
  # No primary could be had; the reason and the attempts say why.
  class PrimaryNotFoundError < ConnectionError; end
  # No replica could be had; the reason and the attempts say why.
  class ReplicaNotFoundError < ConnectionError; end
  # A connection could not be made.
  class CannotConnectError < ConnectionError; end
  # A connection ended under a call; the outcome says what became of the command.
  class ConnectionLostError < ConnectionError; end
  # The TLS handshake failed.
  class TLSError < ConnectionError; end
  # A data node refused the login.
  class AuthenticationError < ConnectionError; end
  # The peer broke the protocol, or a reply is over a limit.
  class ProtocolError < ConnectionError; end
  # The deadline passed.
  class TimeoutError < ConnectionError; end
  # The server answered with an error.
  class CommandError < Error; end
  # The node takes no writes.
  class ReadOnlyError < CommandError; end
  # The node is loading its data.
  class LoadingError < CommandError; end
  # The transaction was not executed.
  class TransactionAbortedError < CommandError; end
  # The write was done, fewer replicas than asked for confirmed it in time.
  class NotReplicatedError < CommandError; end
  # All connections of the pool are in use.
  class PoolExhaustedError < Error; end
  # Too many calls are under way.
  class QueueFullError < Error; end
  # The call was cancelled.
  class CancelledError < Error; end
  # The handle was closed.
  class ClosedError < Error; end
  # The handle was opened before a fork.
  class ForkedError < Error; end
  # The command cannot run on a shared connection; the message says what to use.
  class UnsupportedCommandError < Error; end
  # An argument or option cannot be used.
  class UsageError < Error; end
  # The object cannot do this in the state it is in; of a scan: its node is gone.
  class WrongStateError < UsageError; end
  # Not in this version of the library.
  class UnavailableError < Error; end

  class Error
    # What is raised without a status has the first one of its class.
    CLASSES = {
      Native::ERR_INVALID_ARGUMENT => UsageError,
      Native::ERR_NULL_ARGUMENT => UsageError,
      Native::ERR_UNKNOWN_OPTION => UsageError,
      Native::ERR_INVALID_UTF8 => UsageError,
      Native::ERR_WRONG_STATE => WrongStateError,
      Native::ERR_FORKED => ForkedError,
      Native::ERR_UNSUPPORTED_COMMAND => UnsupportedCommandError,
      Native::ERR_UNAVAILABLE => UnavailableError,
      Native::ERR_PRIMARY_NOT_FOUND => PrimaryNotFoundError,
      Native::ERR_REPLICA_NOT_FOUND => ReplicaNotFoundError,
      Native::ERR_CONNECT => CannotConnectError,
      Native::ERR_CONNECTION_LOST => ConnectionLostError,
      Native::ERR_TLS => TLSError,
      Native::ERR_AUTH => AuthenticationError,
      Native::ERR_PROTOCOL => ProtocolError,
      Native::ERR_TIMEOUT => TimeoutError,
      Native::ERR_SERVER => CommandError,
      Native::ERR_READONLY => ReadOnlyError,
      Native::ERR_LOADING => LoadingError,
      Native::ERR_TRANSACTION_ABORTED => TransactionAbortedError,
      Native::ERR_NOT_REPLICATED => NotReplicatedError,
      Native::ERR_POOL_EXHAUSTED => PoolExhaustedError,
      Native::ERR_QUEUE_FULL => QueueFullError,
      Native::ERR_CANCELLED => CancelledError,
      Native::ERR_CLOSED => ClosedError
    }.freeze
  end
end
