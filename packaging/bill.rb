# frozen_string_literal: true

# bill.rb OWN STANDARD VERSION NOTICES: one bill of materials (CycloneDX) of that of the library and that of Rust's standard
# library, which every library of Rust's is linked with and cargo says nothing of. NOTICES are those of the standard library:
# what they do not name is of features that are not compiled in.
require "json"

own, standard = ARGV.first(2).map { |path| JSON.parse(File.read(path)) }
version = ARGV.fetch(2)
std = standard["metadata"]["component"].except("components")
notices = File.read(ARGV.fetch(3))
added = [std, *standard["components"]].select { |component| notices.match?(/^  #{component["name"]} \d/) }
# What lies in Rust's own repository has its version, and no place in a registry.
added.select { |component| component["bom-ref"].start_with?("path+") }.each do |component|
  component["version"] = version
  component["purl"] = "pkg:generic/rust-#{component["name"]}@#{version}?vcs_url=https://github.com/rust-lang/rust.git"
end
own["components"] = (own["components"] + added).uniq { |component| component["bom-ref"] }

needs = Hash.new { |hash, ref| hash[ref] = [] }
[own, standard].flat_map { |bill| bill["dependencies"] }.each do |entry|
  needs[entry["ref"]] |= entry.fetch("dependsOn", [])
end
needs[own["metadata"]["component"]["bom-ref"]] |= [std["bom-ref"]]
there = [own["metadata"]["component"], *own["components"]].map { |component| component["bom-ref"] }
needs = needs.slice(*there).transform_values { |others| others & there }
own["dependencies"] = needs.map { |ref, others| others.empty? ? { "ref" => ref } : { "ref" => ref, "dependsOn" => others } }
puts JSON.pretty_generate(own)
