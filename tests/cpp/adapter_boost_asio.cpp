/*
 * needs: topology. The same adapter on Boost's Asio.
 * header: boost/asio.hpp
 */
#define SENTINEL_BOOST_ASIO
#include <boost/asio.hpp>
#include <sentinel/adapters/asio.hpp>

namespace net = boost::asio;

#include "adapter_asio.hpp"
