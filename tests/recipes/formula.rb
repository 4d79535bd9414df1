# formula.rb FORMULA DOWNLOADS PREFIX TEST: what Homebrew does with a formula, as far as this one asks for it: the tarball that
# it names is taken out of DOWNLOADS and compared with its sum, installed below PREFIX, and its test is run in TEST.
require "digest"
require "fileutils"
require "open3"
require "pathname"

# A folder that takes files in.
class Place < Pathname
  def install(*names)
    mkpath
    names.each { |name| FileUtils.cp_r(name, self) }
  end
end

# What a formula is written in. What it says and this does not know is an error.
class Formula
  class << self
    attr_reader :said

    def inherited(formula)
      super
      formula.instance_variable_set(:@said, { needs: [] })
    end

    %i[desc homepage version license url sha256].each do |word|
      define_method(word) { |value| @said[word] = value }
    end

    def depends_on(what) = @said[:needs] << what

    def on_intel = RbConfig::CONFIG["host_cpu"] == "x86_64" ? yield : nil

    def on_arm = RbConfig::CONFIG["host_cpu"] == "aarch64" ? yield : nil

    def test(&body) = @said[:test] = body
  end

  attr_reader :prefix, :testpath

  def initialize(prefix, testpath)
    @prefix = Place.new(prefix)
    @testpath = Pathname.new(testpath)
  end

  def bin = prefix/"bin"

  def version = self.class.said[:version]

  def system(*command)
    super(*command.map(&:to_s)) or raise "#{command.join(" ")}: #{$?}"
  end

  def shell_output(command)
    out, status = Open3.capture2(command)
    raise "#{command}: #{status}" unless status.success?

    out
  end

  def assert_equal(expected, actual)
    raise "#{actual.inspect} is not #{expected.inspect}" unless expected == actual
  end

  def assert_match(expected, actual)
    raise "#{actual.inspect} has no #{expected.inspect}" unless actual.include?(expected)
  end
end

# The compiler, by the name under which a formula has it.
def ENV.cc = fetch("CC", "cc")

file, downloads, prefix, test = ARGV.map { |path| File.expand_path(path) }
load file
formula = Object.const_get(File.basename(file, ".rb").capitalize).new(prefix, test)
said = formula.class.said
%i[desc homepage version license url sha256 test].each { |word| said[word] or raise "there is no #{word}" }
raise "desc is too long" if said[:desc].size > 80
raise "desc is no description" if said[:desc].end_with?(".") || said[:desc].match?(/\A(an?|the) /i)

tarball = File.join(downloads, File.basename(said[:url]))
raise "#{tarball} has another sum" unless Digest::SHA256.file(tarball).hexdigest == said[:sha256]

source = File.join(test, "source")
FileUtils.mkdir_p(source)
Kernel.system("tar", "-xzf", tarball, "-C", source, "--strip-components=1") or raise "it is no tarball"
Dir.chdir(source) { formula.install }
Dir.chdir(test) { formula.instance_exec(&said[:test]) }
