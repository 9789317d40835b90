//! Micro-benches of the hot paths, each beside a floor: the least work with the same outcome. Ratios are printed at the end.
//!
//! `cargo bench -p bench-paths`, or with a part of a name: `cargo bench -p bench-paths -- wire`.

mod fan_out;
mod floors;

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};

use bench_paths::{Decode, Encode, Frames, Operation};
use criterion::Criterion;
use hub::Registry;
use manager_api::message::Target;

use fan_out::{FanOut, Outbox};

/// Members of the room of the snapshot, and of the room of the fan-out.
const NUM_MEMBERS: usize = 10_000;
const GROUPS: [(&str, &str); 5] = [
    ("wire-decode", "serde_json finding the end of the same text"),
    ("wire-encode", "a copy of the encoded message"),
    ("registry-snapshot", "walking over a Vec of 10,000 clients"),
    ("fan-out", "handing a packet to the clients of a Vec of 10,000"),
    ("frame-parse", "the same bytes through the same pipe, unread"),
];

fn main() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/criterion");
    // Results of an earlier run are no figures of this one.
    for (group, _) in GROUPS {
        drop(fs::remove_dir_all(results.join(group)));
    }
    let mut criterion = Criterion::default().output_directory(&results).configure_from_args();
    wire(&mut criterion);
    registry(&mut criterion);
    fan_out(&mut criterion);
    frames(&mut criterion);
    criterion.final_summary();
    print_ratios(&results);
}

fn wire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire-decode");
    let mut decode = Decode::new();
    let message = decode.message().clone();
    group.bench_function("floor", |bencher| {
        bencher.iter(|| floors::scan_json(black_box(&message)))
    });
    group.bench_function("path", |bencher| bencher.iter(|| run(&mut decode)));
    group.finish();

    let mut group = criterion.benchmark_group("wire-encode");
    let mut encode = Encode::new();
    let encoded = encode.encoded();
    group.bench_function("floor", |bencher| bencher.iter(|| black_box(&encoded).to_vec()));
    group.bench_function("path", |bencher| bencher.iter(|| run(&mut encode)));
    group.finish();
}

fn registry(criterion: &mut Criterion) {
    let (registry, namespace) = (Registry::new(), Default::default());
    let clients: Vec<Outbox> = (0..NUM_MEMBERS).map(|_| Outbox::default()).collect();
    for (number, client) in clients.iter().enumerate() {
        let sid = format!("client {number}").as_str().into();
        registry.add(&namespace, &sid, client.clone()).expect("a new client");
        registry
            .enter(&namespace, &sid, &"r".into())
            .expect("the client is here");
    }
    let target = Target::Rooms(vec!["r".into()]);
    let mut group = criterion.benchmark_group("registry-snapshot");
    group.bench_function("floor", |bencher| {
        bencher.iter(|| {
            black_box(&clients)
                .iter()
                .map(Outbox::address)
                .fold(0, usize::wrapping_add)
        });
    });
    group.bench_function("path", |bencher| {
        bencher.iter(|| {
            let members = registry.recipients(&namespace, black_box(&target), &[], &[]);
            members
                .iter()
                .map(|member| member.handle.address())
                .fold(0, usize::wrapping_add)
        });
    });
    group.finish();
}

fn fan_out(criterion: &mut Criterion) {
    let mut path = FanOut::to(NUM_MEMBERS);
    let mut group = criterion.benchmark_group("fan-out");
    group.bench_function("floor", |bencher| bencher.iter(|| path.run_floor()));
    group.bench_function("path", |bencher| bencher.iter(|| run(&mut path)));
    group.finish();
}

fn frames(criterion: &mut Criterion) {
    let mut frames = Frames::connect().expect("an open connection");
    let mut pipe = floors::Pipe::new(frames.batch());
    let mut group = criterion.benchmark_group("frame-parse");
    group.bench_function("floor", |bencher| bencher.iter(|| pipe.run()));
    group.bench_function("path", |bencher| bencher.iter(|| run(&mut frames)));
    group.finish();
}

fn run(operation: &mut impl Operation) {
    operation.run().expect("the path does what it is for");
}

fn print_ratios(results: &Path) {
    let mut has_begun = false;
    for (group, floor) in GROUPS {
        let median = |function| median(&results.join(group).join(function).join("new/estimates.json"));
        let (Some(path), Some(least)) = (median("path"), median("floor")) else {
            continue;
        };
        if !has_begun {
            println!("\n{:18} {:>12} {:>12} {:>8}", "path", "median", "floor", "ratio");
            has_begun = true;
        }
        println!(
            "{group:18} {path:>9.0} ns {least:>9.0} ns {:>7.2}x  {floor}",
            path / least
        );
    }
}

/// Reads the median of a function in nanoseconds; `None` if it did not run.
fn median(estimates: &PathBuf) -> Option<f64> {
    let estimates: serde_json::Value = serde_json::from_slice(&fs::read(estimates).ok()?).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}
