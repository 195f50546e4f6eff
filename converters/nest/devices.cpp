// Two NEST nodes that cost less than NEST's own, which keep 31 kB a neuron that they are connected to.
//
// `striate_poisson`: the Poisson sources of one input, by `toolkit.rng.poisson_counts`. The count of source i in step k is a pure function of (key, i, k), so that it needs no memory and
// does not depend on threads or processes. Each connection of the device is a synapse of a source of
// its own. NEST keeps the connections of a device by thread, in the order in which they were made;
// `sources` and `targets` say which they are, and each thread takes out its part.

#include <cstdint>
#include <string>
#include <vector>

#include "nest_extension_interface.h"

#include "dict_util.h"
#include "event.h"
#include "event_delivery_manager_impl.h"
#include "stimulation_device.h"

namespace
{

// Finaliser of SplitMix64 (Steele, Lea and Flood 2014); the constants are those of toolkit.rng.
inline uint64_t
mix( uint64_t z )
{
  z = ( z ^ ( z >> 30 ) ) * 0xBF58476D1CE4E5B9ULL;
  z = ( z ^ ( z >> 27 ) ) * 0x94D049BB133111EBULL;
  return z ^ ( z >> 31 );
}

constexpr uint64_t ODD_SOURCE = 0x9E3779B97F4A7C15ULL;
constexpr uint64_t ODD_STEP = 0xD1342543DE82EF95ULL;

class striate_poisson : public nest::StimulationDevice
{
public:
  using nest::Node::event_hook;

  size_t
  send_test_event( nest::Node& target, size_t receptor, nest::synindex synapse, bool dummy ) override
  {
    enforce_single_syn_type( synapse );
    if ( dummy )
    {
      nest::DSSpikeEvent e; // at run time, an event comes back to event_hook for each target
      e.set_sender( *this );
      return target.handles_test_event( e, receptor );
    }
    nest::SpikeEvent e;
    e.set_sender( *this );
    return target.handles_test_event( e, receptor );
  }

  void
  get_status( Dictionary& d ) const override
  {
    d[ "key" ] = key_;
    d[ "thresholds" ] = thresholds_;
    nest::StimulationDevice::get_status( d );
  }

  // key: of the stream; thresholds: `toolkit.rng.poisson_thresholds`; sources, targets: number of
  // the source and node of the target of every connection of this process, in their order.
  void
  set_status( const Dictionary& d ) override
  {
    std::vector< long > sources, targets;
    d.update_value( "key", key_ );
    d.update_value( "thresholds", thresholds_ );
    const bool connected = d.update_value( "sources", sources );
    d.update_value( "targets", targets );
    if ( sources.size() != targets.size() )
    {
      throw nest::BadProperty( "sources and targets must have the same length." );
    }
    nest::StimulationDevice::set_status( d );
    if ( not connected )
    {
      return;
    }
    row_.clear();
    for ( size_t i = 0; i < sources.size(); ++i )
    {
      if ( nest::kernel().vp_manager.node_id_to_vp( targets[ i ] )
        == nest::kernel().vp_manager.thread_to_vp( get_thread() ) )
      {
        row_.push_back( mix( static_cast< uint64_t >( key_ )
          + static_cast< uint64_t >( sources[ i ] + 1 ) * ODD_SOURCE ) );
      }
    }
    row_.shrink_to_fit();
  }

private:
  void
  update( nest::Time const& origin, const long from, const long to ) override
  {
    if ( row_.empty() or thresholds_.empty() )
    {
      return;
    }
    for ( long lag = from; lag < to; ++lag )
    {
      const nest::Time stamp = origin + nest::Time::step( lag + 1 );
      if ( is_active( stamp ) )
      {
        step_ = static_cast< uint64_t >( stamp.get_steps() ) * ODD_STEP;
        nest::DSSpikeEvent e;
        nest::kernel().event_delivery_manager.send( *this, e, lag );
      }
    }
  }

  void
  event_hook( nest::DSSpikeEvent& e ) override
  {
    const int64_t u = mix( row_.at( e.get_port() ) + step_ ) >> 11;
    if ( u < thresholds_[ 0 ] )
    {
      return;
    }
    long count = 1;
    for ( size_t m = 1; m < thresholds_.size() and u >= thresholds_[ m ]; ++m )
    {
      ++count;
    }
    e.set_multiplicity( count );
    e.get_receiver().handle( e );
  }

  void
  init_state_() override
  {
    nest::StimulationDevice::init_state();
  }

  void
  init_buffers_() override
  {
    nest::StimulationDevice::init_buffers();
  }

  nest::StimulationDevice::Type
  get_type() const override
  {
    return nest::StimulationDevice::Type::SPIKE_GENERATOR;
  }

  long key_ = 0;
  std::vector< long > thresholds_;
  std::vector< uint64_t > row_; // of each connection of this thread: its source's share of the hash
  uint64_t step_ = 0;           // the step's share
};

// `striate_recorder`: the spikes that reach it, by the port they come in by. It is a node of a virtual
// process, not a device of all, and its synapses are kept with those of the neurons.
class striate_recorder : public nest::Node
{
public:
  using nest::Node::handle;
  using nest::Node::handles_test_event;

  size_t
  handles_test_event( nest::SpikeEvent&, size_t receptor ) override
  {
    return receptor;
  }

  void
  handle( nest::SpikeEvent& e ) override
  {
    steps_.push_back( e.get_stamp().get_steps() );
    ports_.push_back( e.get_rport() );
  }

  void
  get_status( Dictionary& d ) const override
  {
    d[ "steps" ] = steps_;
    d[ "ports" ] = ports_;
  }

  void
  set_status( const Dictionary& ) override
  {
  }

private:
  void
  init_state_() override
  {
  }

  void
  init_buffers_() override
  {
  }

  void
  pre_run_hook() override
  {
  }

  void
  update( nest::Time const&, const long, const long ) override
  {
  }

  std::vector< long > steps_; // in which the spikes were fired
  std::vector< long > ports_;
};

} // namespace

class striate_devices_module : public nest::NESTExtensionInterface
{
public:
  void
  initialize() override
  {
    nest::register_node_model< striate_poisson >( "striate_poisson" );
    nest::register_node_model< striate_recorder >( "striate_recorder" );
  }
};

// NEST finds it by the name of the file.
striate_devices_module striate_devices_module_LTX_module;
