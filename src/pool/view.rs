//! A pool as it is at one moment, for those who look on.

use std::sync::atomic::Ordering;

use super::Pool;
use super::state::Route;
use crate::base::error::Attempt;
use crate::net::Endpoint;
use crate::topology::Role;

/// A pool at one moment.
#[derive(Debug)]
pub struct PoolView {
    /// The role that is wanted.
    pub role: Role,
    /// Calls under way or waiting.
    pub pending: usize,
    /// Connections open, to whatever node.
    pub connections: usize,
    /// Those of them in one caller's hands, or kept after that.
    pub leases: usize,
    /// Calls that wait for a connection.
    pub waiting: usize,
    /// Writes that wait while reads go on.
    pub held: usize,
    /// The nodes that calls may go to.
    pub routes: Vec<RouteView>,
    /// The last failure of each node since a connection succeeded, or why it is left out.
    pub failures: Vec<Attempt>,
}

/// A node that calls may go to.
#[derive(Debug)]
pub struct RouteView {
    /// Where it is.
    pub node: Endpoint,
    /// The role it was chosen for.
    pub role: Role,
    /// The epoch under which it was.
    pub epoch: u64,
    /// It is verified, and calls go there.
    pub ready: bool,
    /// Connections open.
    pub connections: usize,
    /// Those of them that carry many callers' commands.
    pub lanes: usize,
    /// Connections being made.
    pub dialling: usize,
    /// Smoothed time of a call, microseconds; 0: none yet.
    pub micros: u32,
}

impl RouteView {
    fn of(route: &Route) -> RouteView {
        RouteView {
            node: route.generation.endpoint.clone(),
            role: route.generation.role,
            epoch: route.generation.epoch,
            ready: route.ready,
            connections: route.generation.connections(),
            lanes: route.lanes.len(),
            dialling: route.dialling + route.lane_dials,
            micros: route.micros,
        }
    }
}

impl Pool {
    /// How it stands.
    pub fn view(&self) -> PoolView {
        let mut state = self.state.lock();
        let waiting = state.demand();
        let routes: Vec<RouteView> = state.routes.iter().map(RouteView::of).collect();
        let leaving: usize = state.leaving.iter().map(|generation| generation.connections()).sum();
        PoolView {
            role: self.role,
            pending: self.in_flight.load(Ordering::Relaxed) + self.submitted.load(Ordering::Relaxed),
            connections: leaving + routes.iter().map(|route| route.connections).sum::<usize>(),
            leases: state.leases,
            waiting: waiting.calls + waiting.leases,
            held: state.held.len(),
            routes,
            failures: state.attempts.iter().map(|(_, attempt)| attempt.clone()).collect(),
        }
    }
}
