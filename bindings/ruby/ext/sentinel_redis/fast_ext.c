/*
 * The way of a call through libsentinel without ffi: arguments packed, the wait without the lock of the VM, and the value
 * made of its reply in one pass.
 *
 * The functions are those of the library that ffi has loaded: their addresses come from there, and nothing is linked.
 * Nothing here is left by an exception of another thread but at the one place that says so: what C gave is not lost.
 */
#include "fast.h"

#include <stdalign.h>
#include <stdbool.h>
#include <string.h>

#include <ruby/thread.h>
#include <ruby/version.h>
#if RUBY_API_VERSION_CODE >= 30100
#include <ruby/fiber/scheduler.h>
#else
#define rb_fiber_scheduler_get() rb_funcall(rb_path2class("Fiber"), rb_intern("scheduler"), 0)
#endif

struct library library;

static VALUE fast_module, command_module;
static VALUE default_options = Qnil;
static size_t few;
static int64_t short_ms;
static ID id_failed, id_handle, id_line, id_new_line, id_new_slot, id_options, id_words;

static VALUE free_reply(VALUE reply)
{
    library.reply_free((sentinel_reply_t *)reply);
    return Qnil;
}

/* Reply.take(address) */
static VALUE reply_take(int argc, VALUE *argv, VALUE self)
{
    VALUE reply;

    (void)self;
    rb_check_arity(argc, 1, 2);
    reply = (VALUE)NUM2SIZET(argv[0]);
    return rb_ensure(value_of_reply, reply, free_reply, reply);
}

/* --------------------------------------------------------------------- calls -- */

/* A queue of the library, of one call at a time. */
struct slot {
    VALUE handle; /* kept for what it holds */
    sentinel_queue_t *queue;
    uint64_t tag;
};

/* The way of a client's calls: its handles in this process, and the slots of its deployment that nobody uses. */
struct line {
    VALUE handle, deployment, idle;
    sentinel_client_t *client;
    size_t under_way;
};

static void mark_slot(void *slot)
{
    rb_gc_mark(((struct slot *)slot)->handle);
}

static void mark_line(void *argument)
{
    struct line *line = argument;

    rb_gc_mark(line->handle);
    rb_gc_mark(line->deployment);
    rb_gc_mark(line->idle);
}

static const rb_data_type_t slot_type = {
    .wrap_struct_name = "SentinelRedis::Fast slot",
    .function = {.dmark = mark_slot, .dfree = RUBY_DEFAULT_FREE},
};

static const rb_data_type_t line_type = {
    .wrap_struct_name = "SentinelRedis::Fast line",
    .function = {.dmark = mark_line, .dfree = RUBY_DEFAULT_FREE},
};

/* Fast.slot(queue, address) */
static VALUE fast_slot(VALUE self, VALUE queue, VALUE address)
{
    struct slot *slot;
    VALUE made = TypedData_Make_Struct(rb_cObject, struct slot, &slot_type, slot);

    (void)self;
    *slot = (struct slot){queue, (sentinel_queue_t *)NUM2SIZET(address), 0};
    return made;
}

/* Fast.line(client, address, deployment, slots) */
static VALUE fast_line(VALUE self, VALUE client, VALUE address, VALUE deployment, VALUE slots)
{
    struct line *line;
    VALUE made;

    (void)self;
    Check_Type(slots, T_ARRAY);
    made = TypedData_Make_Struct(rb_cObject, struct line, &line_type, line);
    *line = (struct line){client, deployment, slots, (sentinel_client_t *)NUM2SIZET(address), 0};
    return made;
}

struct call {
    struct line *line;
    struct slot *slot;
    VALUE slot_itself, buffer;
    size_t argc;
    size_t *lens;
    char *data;
    size_t data_len;
    const sentinel_call_t *options;
    int64_t wait_ms;
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
    call->status = library.try_command(call->line->client, call->argc, call->lens, call->data, call->data_len,
                                       call->options, call->wait_ms, call->slot->queue, call->slot->tag, &call->id,
                                       &call->reply, &call->error);
    return NULL;
}

/* Looks for its completion; those of calls that were given up are freed. */
static bool look(struct call *call, int64_t wait_ms)
{
    sentinel_completion_t entries[ENTRIES];
    size_t count = 0;
    bool found = false;

    library.queue_poll(call->slot->queue, entries, sizeof entries[0], ENTRIES, wait_ms, &count);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].tag == call->slot->tag) {
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

        rb_nogvl(wait_for_it, &wait, wake, call->slot->queue, RB_NOGVL_INTR_FAIL);
        if (wait.found)
            break;
        rb_protect(check_interrupts, Qnil, &state);
        if (state != 0) {
            if (!look(call, 0))
                library.cancel(call->line->client, call->id);
            library.error_free(call->error);
            rb_jump_tag(state);
        }
    }
}

/* The call itself; leave gives back what it has, however it ends. */
static VALUE run(VALUE argument)
{
    struct call *call = (struct call *)argument;

    if (call->wait_ms == 0)
        begin(call);
    while (!call->has_begun) {
        /* Not where an exception waits: from here on nothing looks for one before the call has ended or is waited for. */
        rb_nogvl(begin, call, NULL, NULL, RB_NOGVL_INTR_FAIL);
        if (!call->has_begun)
            rb_thread_check_ints();
    }
    if (call->buffer != Qfalse)
        rb_free_tmp_buffer(&call->buffer);
    if (call->status == SENTINEL_EMPTY)
        finish(call);
    return call->status == SENTINEL_OK ? value_of_reply((VALUE)call->reply) : Qundef;
}

static VALUE leave(VALUE argument)
{
    struct call *call = (struct call *)argument;

    if (call->reply != NULL)
        library.reply_free(call->reply);
    if (call->buffer != Qfalse)
        rb_free_tmp_buffer(&call->buffer);
    call->line->under_way--;
    return rb_ary_push(call->line->idle, call->slot_itself);
}

static size_t size_of(size_t count, const VALUE *words)
{
    size_t size = 0;

    for (size_t i = 0; i < count; i++)
        size += (size_t)RSTRING_LEN(words[i]);
    return size;
}

/* The strings as they are now, whatever other threads do to them. Their bytes are shared. */
static VALUE frozen(size_t count, const VALUE *words)
{
    VALUE kept = rb_ary_new_capa((long)count);

    for (size_t i = 0; i < count; i++)
        rb_ary_push(kept, rb_str_new_frozen(words[i]));
    return kept;
}

/* Packs strings. What it needs beyond lens and data is call->buffer. */
static void pack(struct call *call, size_t count, const VALUE *words, size_t *lens, char *data)
{
    VALUE kept = Qnil;
    size_t size = size_of(count, words), at = 0;

    if (size >= LARGE) {
        kept = frozen(count, words);
        words = RARRAY_CONST_PTR(kept);
        size = size_of(count, words);
    }
    call->argc = count;
    call->lens = lens;
    call->data = data;
    if (count > FEW_ARGUMENTS || size > FEW_BYTES) {
        call->lens = rb_alloc_tmp_buffer(&call->buffer, (long)(count * sizeof *lens + size));
        call->data = (char *)(call->lens + count);
    }
    for (size_t i = 0; i < count; i++) {
        call->lens[i] = (size_t)RSTRING_LEN(words[i]);
        copy_bytes(call->data + at, RSTRING_PTR(words[i]), call->lens[i]);
        at += call->lens[i];
    }
    call->data_len = size;
    RB_GC_GUARD(kept);
}

static bool are_strings(int count, const VALUE *words)
{
    for (int i = 0; i < count; i++)
        if (!RB_TYPE_P(words[i], T_STRING))
            return false;
    return count > 0;
}

static void free_failure(void *error)
{
    library.error_free(error);
}

static const rb_data_type_t failure_type = {
    .wrap_struct_name = "SentinelRedis::Fast failure",
    .function = {.dfree = free_failure},
};

/* As Ruby packs them. */
static void check_options(VALUE options)
{
    Check_Type(options, T_STRING);
    if (RSTRING_LEN(options) != sizeof(sentinel_call_t))
        rb_raise(rb_eArgError, "options are those of another version");
}

/* One attempt: what came of it, and its value. */
static VALUE call_once(struct call *call, VALUE line, int argc, const VALUE *argv, VALUE options)
{
    size_t lens[FEW_ARGUMENTS];
    char data[FEW_BYTES];
    alignas(sentinel_call_t) char copied[sizeof(sentinel_call_t)];
    VALUE value;

    memset(call, 0, sizeof *call);
    call->buffer = Qfalse;
    memcpy(copied, RSTRING_PTR(options), sizeof copied);
    call->options = (const void *)copied;
    call->line = rb_check_typeddata(line, &line_type);
    call->slot_itself = rb_ary_pop(call->line->idle);
    if (NIL_P(call->slot_itself))
        call->slot_itself = rb_funcall(fast_module, id_new_slot, 1, call->line->deployment);
    if (NIL_P(call->slot_itself)) {
        call->status = SENTINEL_ERR_FORKED;
        return Qundef;
    }
    pack(call, (size_t)argc, argv, lens, data);
    call->slot = rb_check_typeddata(call->slot_itself, &slot_type);
    call->slot->tag++;
    call->wait_ms = ++call->line->under_way <= few ? short_ms : 0;
    value = rb_ensure(run, (VALUE)call, leave, (VALUE)call);
    RB_GC_GUARD(line);
    return value;
}

/* Client#call. Fibers under a scheduler wait as Ruby does it. */
static VALUE calls_call(int argc, VALUE *argv, VALUE self)
{
    VALUE options = default_options, words = Qnil;
    VALUE line = rb_ivar_get(self, id_line);

    if (!NIL_P(rb_fiber_scheduler_get()))
        return rb_call_super_kw(argc, argv, RB_PASS_CALLED_KEYWORDS);
    if (rb_keyword_given_p()) {
        options = rb_funcallv_kw(self, id_options, 1, &argv[--argc], RB_PASS_KEYWORDS);
        check_options(options);
    }
    if (!are_strings(argc, argv)) {
        words = rb_funcall(command_module, id_words, 1, rb_ary_new_from_values(argc, argv));
        argc = (int)RARRAY_LEN(words);
        argv = (VALUE *)RARRAY_CONST_PTR(words);
    }
    if (NIL_P(line))
        line = rb_funcall(self, id_new_line, 0);
    for (;;) {
        struct call call;
        VALUE value = call_once(&call, line, argc, argv, options), failure;

        if (call.status == SENTINEL_OK) {
            RB_GC_GUARD(words);
            RB_GC_GUARD(options);
            return value;
        }
        /* The error belongs to an object before anything looks for exceptions. */
        failure = TypedData_Wrap_Struct(rb_cObject, &failure_type, call.error);
        /* In a child of fork the client opens anew, once. */
        if (call.status != SENTINEL_ERR_FORKED || rb_funcall(self, id_handle, 0) == call.line->handle)
            rb_exc_raise(rb_funcall(fast_module, id_failed, 2, INT2NUM(call.status), failure));
        line = rb_funcall(self, id_new_line, 0);
    }
}

/* Fast.release(failure): the address of an error, which is the caller's to free. */
static VALUE fast_release(VALUE self, VALUE failure)
{
    void *error = rb_check_typeddata(failure, &failure_type);

    (void)self;
    DATA_PTR(failure) = NULL;
    return SIZET2NUM((size_t)error);
}

/* Fast.bind(addresses, options, few, short): of the functions, in the order of `library`; of a call without options; how many
 * calls at a time have a connection and a thread to themselves, and for how many milliseconds. */
static VALUE fast_bind(VALUE self, VALUE addresses, VALUE options, VALUE calls, VALUE milliseconds)
{
    void *all[sizeof library / sizeof(void *)];

    Check_Type(addresses, T_ARRAY);
    check_options(options);
    if ((size_t)RARRAY_LEN(addresses) != sizeof all / sizeof all[0])
        rb_raise(rb_eArgError, "takes %zu addresses", sizeof all / sizeof all[0]);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        all[i] = (void *)NUM2SIZET(RARRAY_AREF(addresses, (long)i));
    memcpy(&library, all, sizeof library);
    default_options = options;
    few = NUM2SIZET(calls);
    short_ms = NUM2LL(milliseconds);
    return self;
}

void Init_fast_ext(void)
{
    VALUE sentinel = rb_const_get(rb_cObject, rb_intern("SentinelRedis"));
    VALUE calls;

    fast_module = rb_define_module_under(sentinel, "Fast");
    calls = rb_define_module_under(fast_module, "Calls");
    command_module = rb_const_get(sentinel, rb_intern("Command"));
    rb_gc_register_mark_object(fast_module);
    rb_gc_register_mark_object(command_module);
    rb_gc_register_address(&default_options);
    init_values(sentinel);
    id_failed = rb_intern("failed");
    id_handle = rb_intern("handle");
    id_line = rb_intern("@line");
    id_new_line = rb_intern("new_line");
    id_new_slot = rb_intern("new_slot");
    id_options = rb_intern("call_options");
    id_words = rb_intern("words");
    rb_define_const(fast_module, "INTERFACE", INT2FIX(3));
    rb_define_module_function(fast_module, "bind", fast_bind, 4);
    rb_define_module_function(fast_module, "slot", fast_slot, 2);
    rb_define_module_function(fast_module, "line", fast_line, 4);
    rb_define_module_function(fast_module, "release", fast_release, 1);
    rb_define_module_function(fast_module, "take", reply_take, -1);
    rb_define_method(calls, "call", calls_call, -1);
}
