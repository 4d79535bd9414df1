/*
 * The value of a reply, in one pass over its nodes.
 */
#include "fast.h"

#include <stdbool.h>
#include <string.h>

#include <ruby/encoding.h>
#include <ruby/thread.h>

static VALUE error_class, set_class;
static ID id_element, id_new;

/* ------------------------------------------------------------- large strings -- */

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

void copy_bytes(void *to, const void *from, size_t len)
{
    struct copy copy = {to, from, len, false};

    if (len >= LARGE)
        rb_nogvl(copy_now, &copy, NULL, NULL, RB_NOGVL_INTR_FAIL);
    if (!copy.done && len > 0) /* where an exception waits it is done all the same */
        copy_now(&copy);
}

/* ------------------------------------------------------------------- replies -- */

struct tree {
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
    bool is_large = node->len >= LARGE;
    VALUE text = rb_str_new(is_large ? NULL : node->data, (long)node->len);
    int index = rb_enc_to_index(encoding);

    /* It is new: what rb_enc_associate asks needs no answer. */
    if (index < RUBY_ENCODING_INLINE_MAX)
        RB_ENCODING_SET_INLINED(text, index);
    else
        rb_enc_associate_index(text, index);
    if (is_large)
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

VALUE value_of_reply(VALUE reply)
{
    size_t count;
    struct tree tree;

    tree.next = (const char *)library.reply_nodes((const sentinel_reply_t *)reply, &count, &tree.stride);
    tree.encoding = text_encoding();
    return value_of(&tree);
}

void init_values(VALUE sentinel)
{
    error_class = rb_const_get(sentinel, rb_intern("Error"));
    set_class = rb_const_get(rb_cObject, rb_intern("Set"));
    rb_gc_register_mark_object(error_class);
    rb_gc_register_mark_object(set_class);
    id_element = rb_intern("element");
    id_new = rb_intern("new");
}
