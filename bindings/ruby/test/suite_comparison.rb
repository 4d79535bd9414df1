# frozen_string_literal: true

require "minitest"

# Holds the tests of somebody else's suite against what is told of those that cannot hold, { "TestClass" => %w[name ...] }: says
# what is not as it is told, and how many there were. `by_chance` may hold or not; fewer than `least` are not the suite.
class SuiteComparison < Minitest::AbstractReporter
  def self.report(...)
    comparison = new(...)
    Minitest.define_singleton_method(:plugin_comparison_init) { |_| reporter.reporters.replace([comparison]) }
    Minitest.extensions << "comparison"
  end

  def initialize(title, known, by_chance: [], least: 0)
    super()
    @title = title
    @by_chance = by_chance
    @least = least
    @known = known.flat_map { |each| each.flat_map { |test, names| names.map { |name| "#{test}#test_#{name}" } } }
  end

  def start
    @run = @skipped = 0
    @failed = []
    @wrong = []
  end

  def record(result)
    @run += 1
    name = "#{result.klass}##{result.name}"
    return @skipped += 1 if result.skipped?

    @failed << name unless result.passed?
    return if result.passed? != @known.include?(name) || @by_chance.include?(name)

    @wrong << (result.passed? ? "#{name} holds by now" : "#{name}: #{result.failure.message.lines.first(4).join}")
  end

  def report
    puts @wrong
    puts "#{@title}: #{@run - @skipped - @failed.size} passed, #{@skipped} skipped by themselves, " \
         "#{(@failed & @known).size} cannot hold, #{@wrong.size} wrong"
  end

  def passed? = @wrong.empty? && @run > @least
end
