//! `sio bridge`: joins fleets, and serves metrics and health.

use bridge::{Bridge, Side, Status, metrics};
use clap::ValueEnum;
use gateway::admin::{self, Pages};
use gateway::listen::{Address, Bound};
use manager_api::wire::Wire;

use crate::failure::Failure;
use crate::plan::{BridgePlan, SidePlan};
use crate::{output, stop};

pub(super) async fn run(plan: BridgePlan) -> Result<(), Failure> {
    let bridge = build(&plan)?;
    let described = describe(&plan);
    if plan.check {
        output::printed(format!("{described}the settings can be used\n")).await?;
        return check_sides(&bridge).await;
    }
    let stopped = stop::requested();
    let operators = operators(plan.admin_listen.as_ref(), &bridge).await?;
    if !plan.quiet {
        match output::printed(described + &operators).await {
            Ok(()) | Err(Failure::ClosedPipe) => {}
            Err(failure) => tracing::warn!("{failure}; running all the same"),
        }
    }
    let ran = bridge
        .run(async {
            let _ = stopped.await;
        })
        .await;
    ran.map_err(|error| Failure::of(error, "the bridge has ended"))
}

/// Looks at the brokers where events may go past a bridge. One that cannot be asked is no failure: the settings may be
/// checked where it cannot be reached.
async fn check_sides(bridge: &Bridge) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    for (side, found) in bridge.find_unheard().await {
        let side = output::printable(&side);
        match found {
            Ok(None) => {}
            Ok(Some(why)) => wrong.push(format!("side {side:?}: {}", output::printable(&why))),
            Err(error) => {
                let error = output::printable(&error.to_string());
                output::printed(format!(
                    "side {side:?}: not known whether all events are received: {error}\n"
                ))
                .await?;
            }
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Failure::broker(wrong.join("\n"))),
    }
}

/// Makes the bridge.
fn build(plan: &BridgePlan) -> Result<Bridge, Failure> {
    let mut builder = Bridge::builder().name(&plan.name).options(plan.options.clone());
    for side in &plan.sides {
        builder = builder.side(build_side(side)?);
    }
    if let Some((url, options)) = &plan.control {
        builder = builder.control(url.backend(options.clone())?.manager);
    }
    builder.build().map_err(|error| Failure::input(error.to_string()))
}

fn build_side(plan: &SidePlan) -> Result<Side, Failure> {
    let of_side = |why: String| Failure::input(format!("side {:?}: {why}", output::printable(&plan.name)));
    let backend = plan.url.backend(plan.options.clone());
    let manager = backend.map_err(|failure| of_side(failure.to_string()))?.manager;
    if let Some((_, wire)) = &plan.wire {
        let fits = wire.check(&*manager);
        fits.map_err(|error| of_side(error.to_string()))?;
    }
    let mut side = Side::new(&plan.name, manager).silent_servers(plan.silent_servers);
    if let Some((_, wire)) = &plan.wire {
        side = side.wire(wire.clone());
    }
    if !plan.namespaces.is_empty() {
        let named = side.namespaces(plan.namespaces.iter().map(String::as_str));
        side = named.map_err(|error| Failure::input(error.to_string()))?;
    }
    Ok(side)
}

/// Says what is joined: a line for each side.
fn describe(plan: &BridgePlan) -> String {
    let mut text = format!("bridge           {}\n", output::printable(&plan.name));
    for side in &plan.sides {
        let wire = side.wire.as_ref().and_then(|(name, _)| name.to_possible_value());
        let wire = wire.map_or_else(
            || format!("channel {}", output::printable(&side.options.channel)),
            |name| format!("wire {}", name.get_name()),
        );
        let namespaces = match (side.namespaces.is_empty(), side.wire.is_some()) {
            (false, _) => format!("namespaces {}", output::printable(&side.namespaces.join(" "))),
            (true, true) => "namespace /".to_owned(),
            (true, false) => "the namespaces of the others".to_owned(),
        };
        let name = output::printable(&side.name);
        text.push_str(&format!(
            "side             {name}: {}, {wire}, {namespaces}\n",
            side.url
        ));
    }
    let standby = match &plan.control {
        Some((url, options)) => format!("by channel {} at {url}", output::printable(&options.channel)),
        None => "without: this is to be the only bridge".to_owned(),
    };
    text.push_str(&format!("availability     {standby}\n"));
    text
}

/// Serves metrics and health, if they have an address, to the end of the process. Returns the line that says where.
async fn operators(address: Option<&Address>, bridge: &Bridge) -> Result<String, Failure> {
    let Some(address) = address else {
        return Ok(String::new());
    };
    let attempt = format!("cannot listen on {address} (name another with --admin-listen)");
    let bound = Bound::bind(address).await.map_err(Failure::system(attempt))?;
    let Bound::Tcp(listener) = bound else {
        unreachable!("a Unix socket was refused when the settings were checked");
    };
    let addr = listener.local_addr().map_err(Failure::system("cannot listen"))?;
    let bridge = bridge.clone();
    let pages = Pages::new(move |path| page(path, &bridge));
    tokio::spawn(admin::serve(listener, pages, std::future::pending()));
    Ok(format!(
        "for operators    http://{addr}/metrics  /health/ready  /health/live\n"
    ))
}

/// Returns the text of a path, and whether all is well.
fn page(path: &str, bridge: &Bridge) -> Option<(bool, String)> {
    match path {
        "/metrics" => Some((true, metrics::render(&bridge.status()))),
        // The process responds; what it waits for, a restart does not bring.
        "/health/live" => Some((true, "live\n".to_owned())),
        "/health/ready" => Some(ready(&bridge.status())),
        _ => None,
    }
}

fn ready(status: &Status) -> (bool, String) {
    if status.is_ready {
        return (true, format!("ready: {}\n{}", status.duty.as_str(), warnings(status)));
    }
    let cut_off = status.sides.iter().find(|side| !side.is_connected);
    let why = match cut_off {
        Some(side) => format!("side {} is not connected", output::printable(&side.name)),
        None if status.has_other_sides => "another bridge of this name has other sides".to_owned(),
        None => format!(
            "{}; not settled yet, or its own beats do not arrive",
            status.duty.as_str()
        ),
    };
    (false, format!("not ready: {why}\n{}", warnings(status)))
}

/// Says what is wrong with the sides although they are connected, a line for each.
fn warnings(status: &Status) -> String {
    let mut text = String::new();
    for side in &status.sides {
        let name = output::printable(&side.name);
        if side.has_no_servers {
            text.push_str(&format!("warning: side {name}: no server was found there\n"));
        }
        if let Some(why) = &side.unheard {
            text.push_str(&format!("warning: side {name}: {}\n", output::printable(why)));
        }
    }
    text
}
