# frozen_string_literal: true

require_relative "helper"
require "tmpdir"

# What the gem knows of options by itself, against what the library says of each; and its numbers against the header.
class TestOptions < Minitest::Test
  include Topology

  KEYS = SentinelRedis::Options.keys

  def opens(**options)
    SentinelRedis.new(sentinels: sentinels, **options).close
    true
  rescue SentinelRedis::UsageError
    false
  end

  def test_every_key_is_described_and_takes_its_default
    assert_operator KEYS.size, :>, 40
    assert_equal KEYS.map(&:name).uniq, KEYS.map(&:name)
    KEYS.each do |key|
      refute_empty key.help
      assert_equal Encoding::UTF_8, key.help.encoding
      assert_includes %i[integer limit flag choice text user secret], key.kind
      assert opens(key.keyword => key.default), key.name
      assert_equal %i[user secret].include?(key.kind), SentinelRedis::Options::SECRETS.include?(key.name), key.name
    end
    assert_equal %w[sentinel.username sentinel.password username password].sort, SentinelRedis::Options::SECRETS.sort
  end

  # A keyword of the gem itself would take the place of an option.
  def test_every_key_is_a_keyword_of_its_own
    own = SentinelRedis::Options.method(:with).parameters.map(&:last)
    KEYS.each do |key|
      refute_includes own, key.keyword
      assert_equal key.name, key.keyword.to_s.gsub("__", ".")
    end
  end

  def test_numbers_flags_and_words_are_those_of_the_library
    KEYS.each do |key|
      case key.kind
      when :flag then assert opens(key.keyword => true) && opens(key.keyword => false), key.name
      when :choice then assert key.words.size > 1 && key.words.all? { |word| opens(key.keyword => word) }, key.name
      when :limit then assert opens(key.keyword => -1) && !opens(key.keyword => 0), key.name
      when :integer then refute opens(key.keyword => key.min - 1), key.name
      end
    end
  end

  def test_overrides_are_those_for_clients
    KEYS.each do |key|
      given = begin
        primary(key.keyword => key.default) && true
      rescue SentinelRedis::UsageError
        false
      end
      assert_equal key.for_clients, given, key.name
    end
  end

  def test_a_key_is_for_sentinels_for_clients_or_for_both
    places = KEYS.to_h { |key| [key.name, [key.for_sentinels, key.for_clients]] }
    assert_equal [[true, false], [false, true], [true, true]],
                 places.values_at("sentinel.learn", "database", "client_name")
    refute_includes places.values, [false, false]
  end

  # What C says of every number and layout that numbers.rb has.
  def test_numbers_and_layouts_are_those_of_c
    skip "no C compiler" unless system("cc --version > /dev/null 2>&1")
    native = SentinelRedis::Native
    words = native::NUMBERS.map { |name| ["#{name} %lld", "(long long)SENTINEL_#{name}"] }
    %w[CALL REPLY_NODE COMPLETION OPTIONS_KEY].each do |name|
      type = "sentinel_#{name.downcase}_t"
      words << ["#{name}_SIZE %lld", "(long long)sizeof(#{type})"]
      native.const_get("#{name}_FIELDS").each_key { |field| words << ["#{name}.#{field} %lld", "(long long)offsetof(#{type}, #{field})"] }
    end
    said = Dir.mktmpdir do |folder|
      source = words.map { |format, value| "printf(\"#{format}\\n\", #{value});" }.join("\n")
      File.write("#{folder}/a.c", "#include <sentinel.h>\n#include <stdio.h>\nint main(void) {\n#{source}\nreturn 0; }\n")
      headers = File.expand_path("../../../include", __dir__)
      assert system("cc", "-I#{headers}", "#{folder}/a.c", "-o", "#{folder}/a")
      IO.popen("#{folder}/a", &:readlines).to_h { |line| line.split.then { |word, number| [word, number.to_i] } }
    end
    assert_equal words.size, said.size
    said.each do |word, number|
      name, field = word.split(".")
      ours = field ? native.const_get("#{name}_FIELDS").fetch(field.to_sym).first : native.const_get(name)
      assert_equal number, ours, word
    end
    assert_equal native::CALL_SIZE, [1, 2, 3, 4, 5].pack(native::CALL).bytesize
    assert_equal native::COMPLETION_SIZE, [1, 2, 3, 4, 5].pack(native::COMPLETION).bytesize
    assert_equal native::REPLY_NODE_SIZE, [1, 2, 3, 4, 5, 6.0].pack(native::REPLY_NODE).bytesize
  end

  # What LIBSENTINEL says of the library in a process of its own.
  def with_library(path)
    Open3.capture2e({ "LIBSENTINEL" => path }, RbConfig.ruby, "-I#{File.expand_path("../lib", __dir__)}", "-rsentinel_redis",
                    "-e", "print SentinelRedis::Native.version")
  end

  # The loader finds the library by itself as well; that is not what was asked for.
  def test_a_library_that_is_named_is_the_one_or_none
    said, status = with_library("/nowhere/libsentinel.so")
    refute_predicate status, :success?
    assert_match %r{LIBSENTINEL: .*/nowhere/libsentinel.so.*\(LoadError\)}, said
    said, status = with_library("")
    assert_predicate status, :success?, said
    assert_equal SentinelRedis::Native.version, said
  end
end
