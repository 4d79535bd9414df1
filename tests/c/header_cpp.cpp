/*
 * compile only: the header as C++11 and C++17, with every warning an error.
 */
#include <sentinel.h>
#include <sentinel.h> // twice is as good as once

#include <memory>
#include <string>

struct FreeReply {
    void operator()(sentinel_reply_t *reply) const { sentinel_reply_free(reply); }
};
using Reply = std::unique_ptr<sentinel_reply_t, FreeReply>;

Reply get(sentinel_client_t *client, const std::string &key, sentinel_status_t &status);

Reply get(sentinel_client_t *client, const std::string &key, sentinel_status_t &status)
{
    sentinel_call_t call = SENTINEL_CALL_INIT;
    const char *argv[] = {"GET", key.data()};
    const size_t lens[] = {3, key.size()};
    sentinel_reply_t *reply = nullptr;

    call.flags |= SENTINEL_CALL_RETRY_UNKNOWN;
    status = sentinel_command(client, 2, argv, lens, &call, &reply, nullptr);
    switch (status) {
    case SENTINEL_OK:
    case SENTINEL_ERR_TIMEOUT:
        break;
    default:
        static_assert(SENTINEL_ERR_PANIC < 0, "failures are negative");
    }
    return Reply(reply);
}
