/*
 * needs: topology. The adapter of Asio.
 * header: asio.hpp
 */
#include <asio.hpp>
#include <sentinel/adapters/asio.hpp>

namespace net = asio;

#include "adapter_asio.hpp"
