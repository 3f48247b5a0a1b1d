//! The figures of `bench payments`, and the tables people read.

use super::super::figure::{Figure, median};
use super::super::floor::Primitives;
use super::super::rig::Sample;
use super::{Cell, Kind};
use std::fmt::Write as _;

/// All figures of a run, one object each with `--json`.
pub(super) fn figures(cells: &[Cell], primitives: &Primitives) -> Vec<Figure> {
    let mut figures = Vec::new();
    for cell in cells {
        let place = format!("{}sat.w{}", cell.sat, cell.window);
        for (kind, samples) in &cell.samples {
            let name = kind.name();
            let all = |of: fn(&Sample) -> f64| samples.iter().map(of).collect::<Vec<_>>();
            let mut add = |what: &str, unit, values| {
                figures.push(Figure::alone(
                    format!("payments.{place}.{name}.{what}"),
                    unit,
                    values,
                ));
            };
            add("rate", "payments/s", all(Sample::rate));
            add("cpu", "ms/payment", all(|sample| sample.each(sample.cpu_ms)));
            add("syncs", "syncs/payment", all(|sample| sample.each(sample.syncs as f64)));
            add("written", "bytes/payment", all(|sample| sample.each(sample.bytes as f64)));
        }
        for peer in [Kind::LdkFiles, Kind::LdkLog] {
            let name = format!("payments.{place}.viaduct_against_{}", peer.name());
            figures.extend(compared(name, rates(cell, Kind::Viaduct), rates(cell, peer)));
        }
        for (what, us) in whereabouts(cell, primitives) {
            let name = format!("payments.{place}.viaduct.time.{what}");
            figures.push(Figure::alone(name, "us/payment", vec![us]));
        }
        let floor = primitives.mandatory(cell.window, is_dust(cell.sat));
        figures.push(Figure::alone(
            format!("payments.{place}.floor.rate"),
            "payments/s",
            vec![floor.rate_overlapped()],
        ));
    }
    figures.extend(bests(cells));
    figures
}

/// Where our processor time of a payment goes, both nodes together, microseconds: what is mandatory by
/// kind, the invoice that is read, and all the rest; then how long one core waited for each payment's
/// share of the syncs.
fn whereabouts(cell: &Cell, primitives: &Primitives) -> Vec<(&'static str, f64)> {
    let Some((_, samples)) = cell.samples.iter().find(|(of, _)| *of == Kind::Viaduct) else {
        return Vec::new();
    };
    let of = |each: fn(&Sample) -> f64| median(&samples.iter().map(each).collect::<Vec<_>>());
    let cpu = 1_000.0 * of(|sample| sample.each(sample.cpu_ms));
    let floor = primitives.mandatory(cell.window, is_dust(cell.sat));
    let rest = cpu - floor.cpu() - primitives.invoice;
    vec![
        ("cpu", cpu),
        ("signing", floor.signing),
        ("verifying", floor.verifying),
        ("onion", floor.onion),
        ("keys", floor.keys),
        ("invoice", primitives.invoice),
        ("rest", rest),
        ("syncing", of(|sample| sample.each(sample.syncs as f64)) * primitives.sync),
    ]
}

/// For each amount: ours at our best window against each peer at its best.
fn bests(cells: &[Cell]) -> Vec<Figure> {
    let amounts: std::collections::BTreeSet<_> = cells.iter().map(|cell| cell.sat).collect();
    let mut figures = Vec::new();
    for sat in amounts {
        let best = |kind| {
            let all =
                cells.iter().filter(|cell| cell.sat == sat).filter_map(|cell| rates(cell, kind));
            all.max_by(|one, other| median(one).total_cmp(&median(other)))
        };
        for peer in [Kind::LdkFiles, Kind::LdkLog] {
            let name = format!("payments.{sat}sat.best.viaduct_against_{}", peer.name());
            figures.extend(compared(name, best(Kind::Viaduct), best(peer)));
        }
    }
    figures
}

fn compared(name: String, ours: Option<Vec<f64>>, peer: Option<Vec<f64>>) -> Option<Figure> {
    Some(Figure { name, unit: "payments/s", samples: ours?, peer: Some(peer?) })
}

fn rates(cell: &Cell, kind: Kind) -> Option<Vec<f64>> {
    let (_, samples) = cell.samples.iter().find(|(of, _)| *of == kind)?;
    Some(samples.iter().map(Sample::rate).collect())
}

/// The same as text, with the floor and where it lies.
pub(super) fn tables(cells: &[Cell], primitives: &Primitives) -> String {
    let mut text = String::from("payments/s over one channel: min / median / max\n");
    for cell in cells {
        let dust = if is_dust(cell.sat) { " (dust)" } else { "" };
        writeln!(text, "\n{} sat{dust}, {} in flight", cell.sat, cell.window).expect("a string");
        for (kind, samples) in &cell.samples {
            row(&mut text, *kind, samples);
        }
        let places = whereabouts(cell, primitives);
        let places: Vec<_> = places.iter().map(|(what, us)| format!("{what} {us:.0}")).collect();
        if !places.is_empty() {
            writeln!(text, "  viaduct's time, us a payment: {}", places.join(", "))
                .expect("a string");
        }
        let floor = primitives.mandatory(cell.window, is_dust(cell.sat));
        writeln!(
            text,
            "  floor      {:>8.0} one core, {:.0} two cores: signing {:.0}, verifying {:.0}, onion {:.0}, keys {:.0}, syncs {:.0} us",
            floor.rate_serial(),
            floor.rate_overlapped(),
            floor.signing,
            floor.verifying,
            floor.onion,
            floor.keys,
            floor.syncing,
        )
        .expect("a string");
    }
    text.push_str("\nat the best number in flight\n");
    for figure in bests(cells) {
        let ratio = figure.ratio().unwrap_or_default();
        writeln!(text, "  {:<56} {:>24}   {ratio:.2} times", figure.name, figure.spread())
            .expect("a string");
    }
    writeln!(
        text,
        "\nprimitives here, us: sign {:.1}, verify {:.1}, ecdh {:.1}, point {:.1}, multiply {:.1}, tweak {:.1}, add {:.1}, invoice {:.1}, 4 KiB + fdatasync {:.0}",
        primitives.sign,
        primitives.verify,
        primitives.ecdh,
        primitives.point,
        primitives.multiply,
        primitives.tweak,
        primitives.add,
        primitives.invoice,
        primitives.sync,
    )
    .expect("a string");
    text
}

fn row(text: &mut String, kind: Kind, samples: &[Sample]) {
    let of = |each: fn(&Sample) -> f64| median(&samples.iter().map(each).collect::<Vec<_>>());
    let rate = Figure::alone(String::new(), "", samples.iter().map(Sample::rate).collect());
    writeln!(
        text,
        "  {:<10} {:>24}   cpu {:.2} ms, syncs {:.2}, written {:.0} B a payment",
        kind.name(),
        rate.spread(),
        of(|sample| sample.each(sample.cpu_ms)),
        of(|sample| sample.each(sample.syncs as f64)),
        of(|sample| sample.each(sample.bytes as f64)),
    )
    .expect("a string");
}

/// Below the dust limit of an anchor channel, an HTLC has no output.
const fn is_dust(sat: u64) -> bool {
    sat < 354
}
