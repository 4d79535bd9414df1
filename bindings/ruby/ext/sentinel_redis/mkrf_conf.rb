# frozen_string_literal: true

# What `gem install` runs. The extension is built where it can be; where there is no make, compiler, header of Ruby or
# sentinel.h, the installation goes on without it, and calls go through ffi. sentinel.h is found by pkg-config, in the usual
# places, or in the folder that SENTINEL_INCLUDE names.
File.write("Rakefile", <<~RAKE)
  require "fileutils"
  require "rbconfig"

  task :default do
    include = ENV["SENTINEL_INCLUDE"]
    configured = system(RbConfig.ruby, "extconf.rb", *("--with-sentinel-include=\#{include}" if include))
    if configured && system("make") && File.exist?("fast_ext.so")
      folder = File.join(ENV.fetch("RUBYARCHDIR"), "sentinel_redis")
      FileUtils.mkdir_p(folder)
      FileUtils.cp("fast_ext.so", folder)
    else
      puts "sentinel_redis: built without its extension: calls go through ffi"
    end
  end
RAKE
