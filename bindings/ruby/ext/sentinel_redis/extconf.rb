# frozen_string_literal: true

require "mkmf"

# The fast way through the library; see mkrf_conf.rb.
dir_config("sentinel")
pkg_config("sentinel")
if RUBY_ENGINE == "ruby" && have_header("sentinel.h") && have_type("sentinel_reply_node_t", "sentinel.h") &&
   have_func("rb_nogvl", "ruby/thread.h")
  # Its functions come from the library that ffi loads.
  $libs = ""
  $LDFLAGS = $LDFLAGS.gsub(/-lsentinel\b/, "")
  create_makefile("sentinel_redis/fast_ext")
else
  abort "sentinel.h was not found"
end
