# frozen_string_literal: true
# shareable_constant_value: literal

# Printed from include/sentinel.h by `make bless`: change src/ffi.
class SentinelRedis
  module Native
    OK = 0
    EMPTY = 1
    ERR_NULL_ARGUMENT = -100
    ERR_INVALID_ARGUMENT = -101
    ERR_UNKNOWN_OPTION = -102
    ERR_INVALID_UTF8 = -103
    ERR_WRONG_STATE = -104
    ERR_WOULD_DEADLOCK = -105
    ERR_FORKED = -106
    ERR_BUFFER_TOO_SMALL = -107
    ERR_UNSUPPORTED_COMMAND = -108
    ERR_UNAVAILABLE = -109
    ERR_PRIMARY_NOT_FOUND = -200
    ERR_REPLICA_NOT_FOUND = -201
    ERR_CONNECT = -300
    ERR_CONNECTION_LOST = -301
    ERR_TLS = -302
    ERR_AUTH = -303
    ERR_PROTOCOL = -304
    ERR_TIMEOUT = -305
    ERR_SERVER = -400
    ERR_READONLY = -401
    ERR_LOADING = -402
    ERR_TRANSACTION_ABORTED = -403
    ERR_NOT_REPLICATED = -404
    ERR_POOL_EXHAUSTED = -500
    ERR_QUEUE_FULL = -501
    ERR_CANCELLED = -502
    ERR_CLOSED = -503
    ERR_INTERNAL = -900
    ERR_PANIC = -901
    REASON_NONE = 0
    REASON_NO_SENTINEL_REACHABLE = 1
    REASON_UNKNOWN_SERVICE = 2
    REASON_SENTINEL_AUTH = 3
    REASON_WRONG_ROLE = 4
    REASON_NODE_UNREACHABLE = 5
    REASON_NO_USABLE_REPLICA = 6
    REASON_TOO_FEW_SENTINELS = 7
    REASON_NO_MAJORITY = 8
    REASON_UNCONFIRMED = 9
    OUTCOME_NOT_SENT = 0
    OUTCOME_REFUSED = 1
    OUTCOME_UNKNOWN = 2
    OPTION_INTEGER = 1
    OPTION_LIMIT = 2
    OPTION_FLAG = 3
    OPTION_CHOICE = 4
    OPTION_TEXT = 5
    OPTION_USER = 6
    OPTION_SECRET = 7
    SCOPE_DEPLOYMENT = 1
    SCOPE_CLIENT = 2
    ROLE_PRIMARY = 1
    ROLE_REPLICA = 2
    ROLE_SENTINEL = 3
    CALL_RETRY_UNKNOWN = 1
    CALL_NO_RETRY = 2
    CALL_WAIT_AOF = 4
    REPLY_NIL = 0
    REPLY_STATUS = 1
    REPLY_STRING = 2
    REPLY_INTEGER = 3
    REPLY_DOUBLE = 4
    REPLY_BOOL = 5
    REPLY_ARRAY = 6
    REPLY_MAP = 7
    REPLY_SET = 8
    REPLY_VERBATIM = 9
    REPLY_BIG_NUMBER = 10
    REPLY_PUSH = 11
    REPLY_ERROR = 12
    BATCH_PIPELINE = 1
    BATCH_TRANSACTION = 2
    SCRIPT_READ_ONLY = 1
    COMPLETION_CALL = 1
    COMPLETION_MESSAGE = 2
    COMPLETION_EVENT = 3
    SUBSCRIBE_CHANNEL = 1
    SUBSCRIBE_PATTERN = 2
    SUBSCRIBE_SHARDED = 3
    SUBSCRIBE_CONFIRM = 16
    EVENT_PRIMARY_CHANGED = 1
    EVENT_REPLICAS_CHANGED = 2
    EVENT_SENTINELS_CHANGED = 4
    EVENT_CONNECTION = 8
    EVENT_SUBSCRIPTION_GAP = 16
    EVENT_FAILOVER = 4096
    EVENT_WRITES_HELD = 8192
    LOG_OFF = 0
    LOG_ERROR = 1
    LOG_WARN = 2
    LOG_INFO = 3
    LOG_DEBUG = 4
    LOG_TRACE = 5
    # All of these by name.
    NUMBERS = constants.freeze

    # sentinel_options_key_t: for pack and unpack, its size, and for each field where it is.
    OPTIONS_KEY = "LlQQQQQqqLL"
    OPTIONS_KEY_SIZE = 72
    OPTIONS_KEY_FIELDS = {
      struct_size: [0, "L"],
      kind: [4, "l"],
      name: [8, "Q"],
      default_value: [16, "Q"],
      unit: [24, "Q"],
      words: [32, "Q"],
      help: [40, "Q"],
      min: [48, "q"],
      max: [56, "q"],
      scope: [64, "L"],
      reserved: [68, "L"]
    }

    # sentinel_call_t: for pack and unpack, its size, and for each field where it is.
    CALL = "LLqLL"
    CALL_SIZE = 24
    CALL_FIELDS = {
      struct_size: [0, "L"],
      flags: [4, "L"],
      timeout_ms: [8, "q"],
      replicas: [16, "L"],
      reserved: [20, "L"]
    }

    # sentinel_reply_node_t: for pack and unpack, its size, and for each field where it is.
    REPLY_NODE = "lLQQqd"
    REPLY_NODE_SIZE = 40
    REPLY_NODE_FIELDS = {
      type: [0, "l"],
      depth: [4, "L"],
      len: [8, "Q"],
      data: [16, "Q"],
      integer: [24, "q"],
      number: [32, "d"]
    }

    # sentinel_completion_t: for pack and unpack, its size, and for each field where it is.
    COMPLETION = "QllQQ"
    COMPLETION_SIZE = 32
    COMPLETION_FIELDS = {
      tag: [0, "Q"],
      kind: [8, "l"],
      status: [12, "l"],
      reply: [16, "Q"],
      error: [24, "Q"]
    }
  end
end
