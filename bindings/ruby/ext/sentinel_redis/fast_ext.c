/*
 * The way of a call through libsentinel without ffi: arguments packed, the wait without the lock of the VM, and the value
 * made of its reply in one pass.
 *
 * The functions are those of the library that ffi has loaded: their addresses come from there, and nothing is linked.
 * Nothing here is left by an exception of another thread but at the one place that says so: what C gave is not lost.
 */
#include <sentinel.h>
#include <stdalign.h>
#include <stdbool.h>
#include <string.h>

#include <ruby.h>
#include <ruby/encoding.h>
#include <ruby/thread.h>

static struct {
    sentinel_status_t (*try_command)(sentinel_client_t *, size_t, const size_t *, const void *, size_t,
                                     const sentinel_call_t *, int64_t, sentinel_queue_t *, uint64_t, uint64_t *,
                                     sentinel_reply_t **, sentinel_error_t **);
    sentinel_status_t (*queue_poll)(sentinel_queue_t *, sentinel_completion_t *, size_t, size_t, int64_t, size_t *);
    sentinel_status_t (*queue_wake)(sentinel_queue_t *);
    sentinel_status_t (*cancel)(sentinel_client_t *, uint64_t);
    const sentinel_reply_node_t *(*reply_nodes)(const sentinel_reply_t *, size_t *, size_t *);
    void (*reply_free)(sentinel_reply_t *);
    void (*error_free)(sentinel_error_t *);
} library;

static VALUE error_class, reply_module, command_module, set_class;
static ID id_failed, id_element, id_words, id_new;

/* ------------------------------------------------------------- large strings -- */

/* From so many bytes on a string is copied without the lock of the VM. */
enum { LARGE = 1 << 20 };

struct copy {
    void *to;
    const void *from;
    size_t len;
    bool done;
};

static void *copy_now(void *argument)
{
    struct copy *copy = argument;

    memcpy(copy->to, copy->from, copy->len);
    copy->done = true;
    return NULL;
}

/* What is copied neither moves nor changes meanwhile. */
static void copy_bytes(void *to, const void *from, size_t len)
{
    struct copy copy = {to, from, len, false};

    if (len >= LARGE)
        rb_nogvl(copy_now, &copy, NULL, NULL, RB_NOGVL_INTR_FAIL);
    if (!copy.done && len > 0) /* where an exception waits it is done all the same */
        copy_now(&copy);
}

/* ------------------------------------------------------------------- replies -- */

struct tree {
    sentinel_reply_t *reply;
    const char *next; /* the next node */
    size_t stride;
    rb_encoding *encoding;
};

static rb_encoding *text_encoding(void)
{
    rb_encoding *external = rb_default_external_encoding();

    return external == rb_usascii_encoding() ? rb_utf8_encoding() : external;
}

static VALUE value_of(struct tree *tree);

static VALUE list_of(struct tree *tree, size_t len)
{
    VALUE list = rb_ary_new_capa((long)len);

    for (size_t i = 0; i < len; i++)
        rb_ary_push(list, value_of(tree));
    return list;
}

/* A map with a key twice stays a list of pairs. */
static VALUE map_of(struct tree *tree, size_t pairs)
{
    const char *before = tree->next;
    VALUE hash = rb_hash_new();
    VALUE list;

    for (size_t i = 0; i < pairs; i++) {
        VALUE key = value_of(tree);

        /* A frozen key is taken as it is. */
        if (RB_TYPE_P(key, T_STRING))
            rb_obj_freeze(key);
        rb_hash_aset(hash, key, value_of(tree));
    }
    if (RHASH_SIZE(hash) == pairs)
        return hash;
    tree->next = before;
    list = rb_ary_new_capa((long)pairs);
    for (size_t i = 0; i < pairs; i++) {
        VALUE key = value_of(tree);

        rb_ary_push(list, rb_assoc_new(key, value_of(tree)));
    }
    return list;
}

static VALUE text_of(const sentinel_reply_node_t *node, rb_encoding *encoding)
{
    VALUE text;

    if (node->len < LARGE)
        return rb_enc_str_new(node->data, (long)node->len, encoding);
    text = rb_enc_str_new(NULL, (long)node->len, encoding);
    copy_bytes(RSTRING_PTR(text), node->data, node->len);
    RB_GC_GUARD(text);
    return text;
}

static VALUE value_of(struct tree *tree)
{
    const sentinel_reply_node_t *node = (const void *)tree->next;

    tree->next += tree->stride;
    switch (node->type) {
    case SENTINEL_REPLY_STATUS:
    case SENTINEL_REPLY_STRING:
    case SENTINEL_REPLY_VERBATIM:
        return text_of(node, tree->encoding);
    case SENTINEL_REPLY_INTEGER:
        return LL2NUM(node->integer);
    case SENTINEL_REPLY_ARRAY:
    case SENTINEL_REPLY_PUSH:
        return list_of(tree, node->len);
    case SENTINEL_REPLY_MAP:
        return map_of(tree, node->len / 2);
    case SENTINEL_REPLY_SET:
        return rb_funcall(set_class, id_new, 1, list_of(tree, node->len));
    case SENTINEL_REPLY_DOUBLE:
        return rb_float_new(node->number);
    case SENTINEL_REPLY_BOOL:
        return node->integer == 1 ? Qtrue : Qfalse;
    case SENTINEL_REPLY_BIG_NUMBER:
        return rb_str_to_inum(text_of(node, rb_ascii8bit_encoding()), 10, 1);
    case SENTINEL_REPLY_ERROR:
        return rb_funcall(error_class, id_element, 1, SIZET2NUM((size_t)node));
    default:
        return Qnil;
    }
}

static VALUE begin_value(VALUE argument)
{
    return value_of((struct tree *)argument);
}

static VALUE free_reply(VALUE argument)
{
    library.reply_free(((struct tree *)argument)->reply);
    return Qnil;
}

/* The value of a reply, which is freed. */
static VALUE take(sentinel_reply_t *reply)
{
    size_t count;
    struct tree tree;

    tree.reply = reply;
    tree.next = (const char *)library.reply_nodes(reply, &count, &tree.stride);
    tree.encoding = text_encoding();
    return rb_ensure(begin_value, (VALUE)&tree, free_reply, (VALUE)&tree);
}

/* Reply.take(address) */
static VALUE reply_take(int argc, VALUE *argv, VALUE self)
{
    (void)self;
    rb_check_arity(argc, 1, 2);
    return take((sentinel_reply_t *)NUM2SIZET(argv[0]));
}

/* --------------------------------------------------------------------- calls -- */

struct call {
    sentinel_client_t *client;
    sentinel_queue_t *queue;
    size_t argc;
    size_t *lens;
    char *data;
    size_t data_len;
    const sentinel_call_t *options;
    int64_t wait_ms;
    uint64_t tag;
    /* What comes of it. */
    bool has_begun;
    sentinel_status_t status;
    uint64_t id;
    sentinel_reply_t *reply;
    sentinel_error_t *error;
};

/* Small commands are packed here. */
enum { FEW_ARGUMENTS = 16, FEW_BYTES = 1024, ENTRIES = 8 };

static void *begin(void *argument)
{
    struct call *call = argument;

    call->has_begun = true;
    call->status = library.try_command(call->client, call->argc, call->lens, call->data, call->data_len, call->options,
                                       call->wait_ms, call->queue, call->tag, &call->id, &call->reply, &call->error);
    return NULL;
}

/* Looks for its completion; those of calls that were given up are freed. */
static bool look(struct call *call, int64_t wait_ms)
{
    sentinel_completion_t entries[ENTRIES];
    size_t count = 0;
    bool found = false;

    library.queue_poll(call->queue, entries, sizeof entries[0], ENTRIES, wait_ms, &count);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].tag == call->tag) {
            call->status = entries[i].status;
            call->reply = entries[i].reply;
            call->error = entries[i].error;
            found = true;
        } else {
            library.reply_free(entries[i].reply);
            library.error_free(entries[i].error);
        }
    }
    return found;
}

struct wait {
    struct call *call;
    bool found;
};

static void *wait_for_it(void *argument)
{
    struct wait *wait = argument;

    wait->found = look(wait->call, -1);
    return NULL;
}

static void wake(void *queue)
{
    library.queue_wake(queue);
}

static VALUE check_interrupts(VALUE nothing)
{
    rb_thread_check_ints();
    return nothing;
}

/* Waits for the completion. Timeout, Thread#raise and Thread#kill end the wait: the call is cancelled then. */
static void finish(struct call *call)
{
    struct wait wait = {call, false};

    while (!wait.found) {
        int state = 0;

        rb_nogvl(wait_for_it, &wait, wake, call->queue, RB_NOGVL_INTR_FAIL);
        if (wait.found)
            break;
        rb_protect(check_interrupts, Qnil, &state);
        if (state != 0) {
            if (!look(call, 0))
                library.cancel(call->client, call->id);
            library.reply_free(call->reply);
            library.error_free(call->error);
            rb_jump_tag(state);
        }
    }
}

static size_t size_of(VALUE words)
{
    size_t size = 0;

    for (long i = 0; i < RARRAY_LEN(words); i++)
        size += (size_t)RSTRING_LEN(RARRAY_AREF(words, i));
    return size;
}

/* The strings as they are now, whatever other threads do to them. Their bytes are shared. */
static VALUE frozen(VALUE words)
{
    VALUE kept = rb_ary_new_capa(RARRAY_LEN(words));

    for (long i = 0; i < RARRAY_LEN(words); i++)
        rb_ary_push(kept, rb_str_new_frozen(RARRAY_AREF(words, i)));
    return kept;
}

/* Packs strings; what is none is made one before. The buffer of a large command, to be freed. */
static VALUE pack(struct call *call, VALUE words, size_t *lens, char *data)
{
    VALUE buffer = Qfalse;
    size_t size = size_of(words), at = 0;

    if (size >= LARGE) {
        words = frozen(words);
        size = size_of(words);
    }
    call->argc = (size_t)RARRAY_LEN(words);
    call->lens = lens;
    call->data = data;
    if (call->argc > FEW_ARGUMENTS || size > FEW_BYTES) {
        call->lens = rb_alloc_tmp_buffer(&buffer, (long)(call->argc * sizeof *lens + size));
        call->data = (char *)(call->lens + call->argc);
    }
    for (size_t i = 0; i < call->argc; i++) {
        VALUE word = RARRAY_AREF(words, (long)i);

        call->lens[i] = (size_t)RSTRING_LEN(word);
        copy_bytes(call->data + at, RSTRING_PTR(word), call->lens[i]);
        at += call->lens[i];
        RB_GC_GUARD(word);
    }
    call->data_len = size;
    RB_GC_GUARD(words);
    return buffer;
}

static bool are_strings(VALUE words)
{
    for (long i = 0; i < RARRAY_LEN(words); i++)
        if (!RB_TYPE_P(RARRAY_AREF(words, i), T_STRING))
            return false;
    return RARRAY_LEN(words) > 0;
}

static void free_failure(void *error)
{
    library.error_free(error);
}

static const rb_data_type_t failure_type = {
    .wrap_struct_name = "SentinelRedis::Fast failure",
    .function = {.dfree = free_failure},
};

/* Fast.command(client, queue, arguments, options, wait_ms, tag): the value of a call, addresses as numbers. */
static VALUE fast_command(VALUE self, VALUE client, VALUE queue, VALUE arguments, VALUE options, VALUE wait_ms, VALUE tag)
{
    size_t lens[FEW_ARGUMENTS];
    char data[FEW_BYTES];
    alignas(sentinel_call_t) char copied[sizeof(sentinel_call_t)];
    struct call call = {0};
    VALUE buffer, failure;

    Check_Type(arguments, T_ARRAY);
    Check_Type(options, T_STRING);
    if (!are_strings(arguments))
        arguments = rb_funcall(command_module, id_words, 1, arguments);
    if (RSTRING_LEN(options) != sizeof copied)
        rb_raise(rb_eArgError, "options are those of another version");
    memcpy(copied, RSTRING_PTR(options), sizeof copied);
    call.client = (sentinel_client_t *)NUM2SIZET(client);
    call.queue = (sentinel_queue_t *)NUM2SIZET(queue);
    call.options = (const void *)copied;
    call.wait_ms = NUM2LL(wait_ms);
    call.tag = NUM2ULL(tag);
    buffer = pack(&call, arguments, lens, data);
    if (call.wait_ms == 0)
        begin(&call);
    while (!call.has_begun) {
        /* Not where an exception waits: from here on nothing looks for one before the call has ended or is waited for. */
        rb_nogvl(begin, &call, NULL, NULL, RB_NOGVL_INTR_FAIL);
        if (!call.has_begun)
            rb_thread_check_ints();
    }
    if (buffer != Qfalse)
        rb_free_tmp_buffer(&buffer);
    if (call.status == SENTINEL_EMPTY)
        finish(&call);
    RB_GC_GUARD(arguments);
    if (call.status == SENTINEL_OK)
        return take(call.reply);
    /* The error belongs to an object before anything looks for exceptions. */
    failure = TypedData_Wrap_Struct(rb_cObject, &failure_type, call.error);
    rb_exc_raise(rb_funcall(self, id_failed, 2, INT2NUM(call.status), failure));
}

/* Fast.release(failure): the address of an error, which is the caller's to free. */
static VALUE fast_release(VALUE self, VALUE failure)
{
    void *error = rb_check_typeddata(failure, &failure_type);

    (void)self;
    DATA_PTR(failure) = NULL;
    return SIZET2NUM((size_t)error);
}

/* Fast.bind(addresses): of the functions, in the order of `library`. */
static VALUE fast_bind(VALUE self, VALUE addresses)
{
    void *all[sizeof library / sizeof(void *)];

    Check_Type(addresses, T_ARRAY);
    if ((size_t)RARRAY_LEN(addresses) != sizeof all / sizeof all[0])
        rb_raise(rb_eArgError, "takes %zu addresses", sizeof all / sizeof all[0]);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        all[i] = (void *)NUM2SIZET(RARRAY_AREF(addresses, (long)i));
    memcpy(&library, all, sizeof library);
    return self;
}

void Init_fast_ext(void)
{
    VALUE sentinel = rb_const_get(rb_cObject, rb_intern("SentinelRedis"));
    VALUE fast = rb_define_module_under(sentinel, "Fast");

    error_class = rb_const_get(sentinel, rb_intern("Error"));
    reply_module = rb_const_get(sentinel, rb_intern("Reply"));
    command_module = rb_const_get(sentinel, rb_intern("Command"));
    set_class = rb_const_get(rb_cObject, rb_intern("Set"));
    rb_gc_register_mark_object(error_class);
    rb_gc_register_mark_object(reply_module);
    rb_gc_register_mark_object(command_module);
    rb_gc_register_mark_object(set_class);
    id_failed = rb_intern("failed");
    id_element = rb_intern("element");
    id_words = rb_intern("words");
    id_new = rb_intern("new");
    rb_define_const(fast, "INTERFACE", INT2FIX(2));
    rb_define_module_function(fast, "bind", fast_bind, 1);
    rb_define_module_function(fast, "command", fast_command, 6);
    rb_define_module_function(fast, "release", fast_release, 1);
    rb_define_module_function(fast, "take", reply_take, -1);
}
