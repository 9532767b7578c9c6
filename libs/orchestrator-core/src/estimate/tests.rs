//! Tests of the predictions: what they follow, what they forget, and where they must not reach.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

impl ServiceTimes {
    fn residual(&self, size: u32, elapsed: Duration) -> Uncertain {
        self.residual_from(&mut 0, size, elapsed)
    }
}

fn measured(times: impl IntoIterator<Item = (u32, u64)>) -> ServiceTimes {
    let mut measured = ServiceTimes::default();
    for (size, held) in times {
        measured.measure(size, Duration::from_millis(held));
        measured.refresh();
    }
    measured
}

#[test]
fn constant_times_are_known_to_the_end() {
    let times = measured((0..50).map(|_| (9, 4000)));
    assert_eq!(times.residual(9, SECOND * 3), Uncertain { mean: 1.0, variance: 0.0 });
    assert!(times.residual(9, SECOND * 30).mean > 5.0, "what outlasts all others may go on");
}

#[test]
fn a_size_that_explains_the_time_is_believed_and_one_that_does_not_is_ignored() {
    let times = measured((1..40).map(|size| (size, 500 + 100 * u64::from(size))));
    let ten = times.service(1.0, 10.0);
    assert!((ten.mean - 1.5).abs() < 0.01 && ten.variance < 0.01, "{ten:?}");
    let noise = measured((0..40).map(|turn| (turn % 2 * 50, 1000 + u64::from(turn / 2 % 2) * 1000)));
    assert!((noise.service(1.0, 50.0).mean - 1.5).abs() < 0.01);
}

#[test]
fn an_engine_that_became_slower_is_believed_within_a_dozen_jobs() {
    let wobble = |turn: u32| u64::from(turn % 3) * 400;
    let slower = (0..100).map(|turn| (1, 1000 + wobble(turn)));
    let times = measured(slower.chain((0..12).map(|turn| (1, 3000 + 3 * wobble(turn)))));
    assert!((times.held().mean - 4.2).abs() < 0.1, "{:?}", times.held());
}

#[test]
fn what_an_attempt_still_needs_is_what_the_longer_measurements_say() {
    let times = measured((1..=100_u64).map(|number| (1, 20 + number * number % 977)));
    let whole = times.explained(1.0);
    for elapsed in (0..900).step_by(7).map(Duration::from_millis) {
        let passed = elapsed.as_secs_f64() / whole;
        let longer: Vec<f64> = times.ratios.iter().filter(|it| **it > passed).map(|it| it - passed).collect();
        if longer.len() < TAIL {
            continue;
        }
        let walked = spread(longer.iter().copied());
        let told = times.residual(1, elapsed);
        assert!((told.mean - walked.mean * whole).abs() < 1e-9, "{elapsed:?}: {told:?} {walked:?}");
        let variance = walked.variance * whole * whole;
        assert!((told.variance - variance).abs() < 1e-9, "{elapsed:?}: {told:?} {walked:?}");
    }
}

/// Times of five shapes, the last of which changes now and then.
fn drawn(shape: u32, turn: u32, draw: u32) -> (u32, u64) {
    let wobble = u64::from(draw % 1000);
    match shape {
        0 => (9, 4000),
        1 => (draw % 50, 1000 + wobble),
        2 => (draw % 50, 20 * u64::from(draw % 50) + wobble / 10),
        3 => (1, if draw.is_multiple_of(20) { 3_000_000 } else { wobble }),
        _ => (draw % 9, if (turn / 70).is_multiple_of(2) { 500 + wobble } else { 1200 + wobble }),
    }
}

#[test]
fn a_change_is_seen_though_only_sums_are_looked_at_at_first() {
    let mut forgotten = 0;
    for shape in 0..5 {
        let (mut times, mut draw) = (ServiceTimes::default(), 2_463_534_242_u32);
        for turn in 0..2000 {
            draw ^= draw << 13;
            draw ^= draw >> 17;
            draw ^= draw << 5;
            let (size, held) = drawn(shape, turn, draw);
            let before = times.samples.len();
            times.measure(size, Duration::from_millis(held));
            forgotten += u32::from(times.samples.len() < before);
            let hidden = times.samples.len() >= 2 * RECENT && times.differ();
            assert!(!hidden, "shape {shape}, measurement {turn}");
            assert_eq!(times.level, times.level_of_all(), "shape {shape}, measurement {turn}");
            if draw.is_multiple_of(3) {
                times.refresh();
            }
        }
    }
    assert!(forgotten >= 20, "only {forgotten} changes");
}

#[test]
fn where_an_attempt_stood_at_the_last_look_changes_nothing_of_what_it_still_needs() {
    for shape in 0..5 {
        let (mut times, mut draw, mut near) = (ServiceTimes::default(), 88_172_645_u32, [0_u8; 40]);
        for turn in 0..1500 {
            draw ^= draw << 13;
            draw ^= draw >> 17;
            draw ^= draw << 5;
            let (size, held) = drawn(shape, turn, draw);
            times.measure(size, Duration::from_millis(held));
            times.refresh();
            for (index, near) in (0..).zip(&mut near) {
                let (size, elapsed) = (index % 7, Duration::from_millis(u64::from(turn * index % 1700)));
                let known = times.residual_from(near, size, elapsed);
                let passed = elapsed.as_secs_f64() / times.explained(f64::from(size));
                let shorter = times.ratios.iter().filter(|ratio| **ratio <= passed).count();
                assert_eq!(usize::from(*near), shorter, "shape {shape}, measurement {turn}");
                assert_eq!(known, times.residual(size, elapsed), "shape {shape}, measurement {turn}");
            }
        }
    }
}
