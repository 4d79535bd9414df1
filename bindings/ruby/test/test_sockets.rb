# frozen_string_literal: true

require_relative "helper"

class TestSockets < Minitest::Test
  include Topology

  def test_a_socket_speaks_resp_and_ends_with_its_client
    client = primary
    socket = client.socket
    assert_kind_of Socket, socket
    socket.write("SET rb:socket 41\r\nINCR rb:socket\r\n")
    assert_equal ["+OK\r\n", ":42\r\n"], [socket.gets, socket.gets]
    other = client.socket
    other.write("MULTI\r\nINCR rb:socket\r\nEXEC\r\n")
    assert_equal ["+OK\r\n", "+QUEUED\r\n", "*1\r\n", ":43\r\n"], Array.new(4) { other.gets }
    other.close
    socket.write("QUIT\r\n")
    assert_equal ["+OK\r\n", nil], [socket.gets, socket.gets]
    socket.close
  end

  def test_a_child_has_a_socket_of_its_own
    client = primary
    client.call("SET", "rb:socket:child", "1")
    status = Process.wait2(fork do
      socket = client.socket
      socket.write("GET rb:socket:child\r\n")
      exit!(socket.gets == "$1\r\n" ? 0 : 1)
    end).last
    assert_predicate status, :success?
  end
end
