//! Who goes when, with lanes that are plain buckets: so much level, refilled by so much a second.

use std::time::Duration;

use super::*;
use crate::units::Party;

const AMPLE: Bounds = Bounds { waiting: 100_000, waiting_per_app: 100_000, bytes: usize::MAX };

/// A line with lanes of 1,000 a window, and what went.
struct World {
    line: Line<&'static str>,
    lanes: Vec<(LaneId, Lane)>,
    now: Instant,
    arrivals: u64,
    went: Vec<(&'static str, LaneId)>,
}

#[derive(Debug, Clone, Copy)]
struct Lane {
    level: f64,
    per_second: f64,
    /// At a window's end the level is full again; between them nothing is refilled.
    window_end: Option<Instant>,
    usable: bool,
}

impl Lane {
    const FULL: f64 = 1_000.0;

    fn when(&self, size: f64, now: Instant) -> Option<Instant> {
        if size <= self.level {
            return Some(now);
        }
        match self.window_end {
            Some(end) => Some(end),
            None if self.per_second <= 0.0 => None,
            // A nanosecond more, as the rounding of floats must not let it be tried too early.
            None => {
                Some(now + secs((size - self.level) / self.per_second) + Duration::from_nanos(1))
            }
        }
    }
}

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// What a request is like; the rest is usual.
#[derive(Clone, Copy)]
struct Ask {
    name: &'static str,
    app: &'static str,
    class: Class,
    size: u64,
}

const fn ask(name: &'static str, size: u64) -> Ask {
    Ask { name, app: name, class: Class::Standard, size }
}

const fn of(app: &'static str, class: Class, size: u64) -> Ask {
    Ask { name: app, app, class, size }
}

impl World {
    fn new(lanes: usize) -> (Self, PoolId) {
        let mut world = Self {
            line: Line::new(AMPLE),
            lanes: Vec::new(),
            now: Instant::now(),
            arrivals: 0,
            went: Vec::new(),
        };
        let ids = (0..lanes).map(|_| world.open()).collect();
        let pool = world.line.open_pool(ids);
        (world, pool)
    }

    fn open(&mut self) -> LaneId {
        let id = self.line.open_lane();
        let lane = Lane { level: 0.0, per_second: 10.0, window_end: None, usable: true };
        self.lanes.push((id, lane));
        id
    }

    fn lane(&mut self, id: LaneId) -> &mut Lane {
        &mut self.lanes.iter_mut().find(|(lane, _)| *lane == id).expect("a lane").1
    }

    fn request(&mut self, pool: PoolId, ask: Ask) -> Request {
        self.arrivals += 1;
        Request {
            party: Party { class: ask.class, ..Party::usual(ask.app.into()) },
            pool,
            place: Place::new(self.arrivals, self.now, None),
            cost: Backlog { requests: 1, tokens: ask.size },
            reserve: Backlog { requests: 1, tokens: ask.size },
            share: ask.size as f64 / Lane::FULL,
            size: ask.size,
            bytes: 1,
            avoid: None,
            likeness: None,
            not_before: None,
            entry: Entry::New,
        }
    }

    fn come(&mut self, pool: PoolId, ask: Ask) -> Place {
        let request = self.request(pool, ask);
        self.join(request, ask.name)
    }

    fn join(&mut self, request: Request, name: &'static str) -> Place {
        let place = request.place;
        self.line.join(request, name, self.now).expect("room in the line");
        self.serve();
        place
    }

    fn serve(&mut self) {
        let mut steps = 0;
        while let Some(asked) = self.line.next_try() {
            let answer = self.answer(asked);
            if let Some(left) = self.line.answer(asked, answer, self.now) {
                self.went.push((left.waiter.ticket, asked.lane));
            }
            steps += 1;
            assert!(steps < 100_000, "the rounds do not end");
        }
    }

    fn answer(&mut self, asked: Try) -> Answer {
        let size = self.line.request(asked.place).expect("it waits").size as f64;
        let blocked = asked
            .before
            .map(|saved| (self.line.request(saved.place).expect("it waits").size as f64, saved.at));
        let now = self.now;
        let lane = self.lane(asked.lane);
        if !lane.usable {
            return Answer::Shut(None);
        }
        match lane.when(size, now) {
            Some(at) if at == now => {}
            at => return Answer::Later(at),
        }
        lane.level -= size;
        if let Some((other, Some(before))) = blocked
            && lane.when(other, now).is_none_or(|at| at > before)
        {
            lane.level += size;
            return Answer::Delays;
        }
        if asked.purpose == Purpose::Probe {
            lane.level += size;
            return Answer::Fits;
        }
        Answer::Goes { share: size / Lane::FULL }
    }

    /// Moves on to the next look, as far as `until`.
    fn run(&mut self, seconds: f64) {
        let until = self.now + secs(seconds);
        loop {
            let next = self.line.next_look().filter(|at| *at <= until).unwrap_or(until);
            let passed = next.saturating_duration_since(self.now).as_secs_f64();
            self.now = self.now.max(next);
            for (_, lane) in &mut self.lanes {
                match lane.window_end {
                    Some(end) if end <= next => {
                        lane.level = Lane::FULL;
                        lane.window_end = Some(end + secs(60.0));
                    }
                    Some(_) => {}
                    None => lane.level = (lane.level + passed * lane.per_second).min(Lane::FULL),
                }
            }
            self.line.ring_due(self.now);
            self.serve();
            if next >= until {
                return;
            }
        }
    }

    fn names(&self) -> Vec<&'static str> {
        self.went.iter().map(|(name, _)| *name).collect()
    }

    fn count(&self, name: &str) -> usize {
        self.went.iter().filter(|(went, _)| *went == name).count()
    }
}

#[test]
fn a_more_urgent_class_goes_before_a_less_urgent_one() {
    let (mut world, pool) = World::new(1);
    for (app, class) in
        [("batch", Class::Batch), ("standard", Class::Standard), ("prompt", Class::Interactive)]
    {
        world.come(pool, of(app, class, 100));
    }
    world.run(30.1);
    assert_eq!(world.names(), ["prompt", "standard", "batch"]);
}

#[test]
fn a_lower_class_keeps_a_small_share_of_what_passes_it() {
    let (mut world, pool) = World::new(1);
    for _ in 0..400 {
        world.come(pool, of("prompt", Class::Interactive, 10));
        world.come(pool, of("nightly", Class::Batch, 10));
    }
    world.run(210.0);
    let (prompt, nightly) = (world.count("prompt"), world.count("nightly"));
    assert!((9..=11).contains(&nightly), "{nightly} of batch beside {prompt}");
}

#[test]
fn apps_of_a_class_get_the_same_however_many_requests_they_have() {
    let (mut world, pool) = World::new(1);
    for _ in 0..200 {
        world.come(pool, of("many", Class::Standard, 10));
        world.come(pool, of("many", Class::Standard, 10));
    }
    for _ in 0..60 {
        world.come(pool, of("large", Class::Standard, 40));
    }
    world.run(200.0);
    let (many, large) = (world.count("many") * 10, world.count("large") * 40);
    assert!(many.abs_diff(large) <= 50, "{many} and {large} tokens");
}

#[test]
fn apps_share_by_their_weights() {
    let (mut world, pool) = World::new(1);
    for _ in 0..300 {
        for (app, weight) in [("three", 300), ("one", 100)] {
            let mut request = world.request(pool, of(app, Class::Standard, 10));
            request.party.weight = weight;
            world.join(request, app);
        }
    }
    world.run(200.0);
    let (three, one) = (world.count("three"), world.count("one"));
    assert!(three.abs_diff(3 * one) <= 4, "{three} to {one}");
}

#[test]
fn an_app_that_comes_late_gets_its_share_and_no_more() {
    let (mut world, pool) = World::new(1);
    for _ in 0..100 {
        world.come(pool, of("early", Class::Standard, 10));
    }
    world.run(50.0);
    for _ in 0..100 {
        world.come(pool, of("late", Class::Standard, 10));
    }
    let before = world.count("early");
    world.run(40.0);
    let (early, late) = (world.count("early") - before, world.count("late"));
    assert!(early.abs_diff(late) <= 2, "{early} of the one, {late} of the other");
}

#[test]
fn ever_new_apps_do_not_keep_a_large_request_waiting() {
    const NAMES: [&str; 60] = ["new"; 60];
    let (mut world, pool) = World::new(1);
    world.come(pool, ask("large", 200));
    for name in NAMES {
        let request = world.request(pool, ask(name, 10));
        let party =
            Party { app: format!("app{}", world.arrivals).as_str().into(), ..request.party };
        world.join(Request { party, ..request }, name);
        world.run(1.0);
    }
    assert_eq!(world.names().first(), Some(&"large"));
}

#[test]
fn what_a_request_took_is_put_right_when_it_is_known() {
    let (mut world, pool) = World::new(1);
    let mut turns = Vec::new();
    for _ in 0..100 {
        world.come(pool, of("guessed", Class::Standard, 10));
        world.come(pool, of("known", Class::Standard, 10));
    }
    for _ in 0..1_000 {
        world.run(0.1);
        // What one app asks for is twice what it takes.
        while let Some(asked) = world.line.next_try() {
            let answer = world.answer(asked);
            world.line.answer(asked, answer, world.now);
        }
        let Some((name, _)) = world.went.pop() else { continue };
        turns.push(name);
        let flow = world.line.flow_id(&Party::usual("guessed".into()));
        if name == "guessed" {
            world.line.shift(flow, pool, |tag| tag.minus(flow::Tag::of(0.005)));
        }
    }
    let guessed = turns.iter().filter(|name| **name == "guessed").count();
    assert!((60..=72).contains(&guessed), "{guessed} of {}", turns.len());
}

#[test]
fn within_an_app_a_stated_deadline_goes_first_then_who_came_first() {
    let (mut world, pool) = World::new(1);
    for (name, wanted_in) in [("first", None), ("second", None), ("urgent", Some(20))] {
        let mut request = world.request(pool, Ask { app: "app", ..ask(name, 100) });
        let wanted_by = wanted_in.map(|seconds| world.now + Duration::from_secs(seconds));
        request.place = Place::new(world.arrivals, world.now, wanted_by);
        world.join(request, name);
    }
    world.run(31.0);
    assert_eq!(world.names(), ["urgent", "first", "second"]);
}

#[test]
fn who_states_deadlines_passes_the_others_for_ten_minutes_at_most() {
    let now = Instant::now();
    let patient = Place::new(1, now, None);
    let later = now + Place::PATIENCE;
    assert!(Place::new(2, later, Some(later + Duration::from_secs(1))) > patient);
}

#[test]
fn a_large_request_is_saved_up_for() {
    let (mut world, pool) = World::new(1);
    world.come(pool, ask("large", 500));
    for _ in 0..50 {
        world.come(pool, ask("small", 10));
        world.run(1.0);
    }
    world.run(1.0);
    assert_eq!(world.names().first(), Some(&"large"), "the small ones starved it");
}

#[test]
fn who_makes_the_large_request_no_later_may_pass_it() {
    let (mut world, pool) = World::new(1);
    let (id, _) = world.lanes[0];
    *world.lane(id) = Lane {
        level: 300.0,
        per_second: 0.0,
        window_end: Some(world.now + secs(20.0)),
        usable: true,
    };
    // The rest of this window is of no use to the large one.
    world.come(pool, Ask { app: "app", ..ask("large", 800) });
    for _ in 0..40 {
        world.come(pool, Ask { app: "app", ..ask("small", 10) });
    }
    assert_eq!(world.names(), ["small"; 30]);
    world.run(20.0);
    assert_eq!(world.names()[30], "large");
    assert_eq!(world.went.len(), 41);
}

#[test]
fn the_smallest_goes_where_larger_ones_before_it_cannot() {
    let (mut world, pool) = World::new(1);
    let (id, _) = world.lanes[0];
    let window_end = Some(world.now + secs(20.0));
    *world.lane(id) = Lane { level: 50.0, per_second: 0.0, window_end, usable: true };
    for size in [900, 800, 700, 600, 500, 400, 300, 200, 100] {
        world.come(pool, ask("large", size));
    }
    world.come(pool, ask("small", 40));
    assert_eq!(world.names(), ["small"]);
}

#[test]
fn it_is_saved_up_for_on_the_lane_that_fits_first_and_others_use_the_rest() {
    let (mut world, pool) = World::new(2);
    let (slow, fast) = (world.lanes[0].0, world.lanes[1].0);
    world.lane(slow).per_second = 5.0;
    world.come(pool, ask("large", 300));
    for _ in 0..10 {
        world.come(pool, ask("small", 10));
    }
    world.run(29.0);
    assert_eq!(world.went, [("small", slow); 10]);
    world.run(2.0);
    assert_eq!(world.went.last(), Some(&("large", fast)));
}

#[test]
fn when_its_lane_is_shut_it_is_saved_up_for_on_another() {
    let (mut world, pool) = World::new(2);
    let (first, second) = (world.lanes[0].0, world.lanes[1].0);
    world.lane(second).per_second = 5.0;
    world.come(pool, ask("large", 300));
    world.run(20.0);
    world.lane(first).usable = false;
    world.line.ring_all();
    world.serve();
    world.come(pool, ask("small", 10));
    world.run(41.0);
    assert_eq!(world.went, [("large", second)]);
    world.run(2.0);
    assert_eq!(world.went.last(), Some(&("small", second)));
}

#[test]
fn pools_that_share_a_lane_form_one_line() {
    let (mut world, both) = World::new(2);
    let (shared, own) = (world.lanes[0].0, world.lanes[1].0);
    let only = world.line.open_pool(vec![shared]);
    world.lane(own).per_second = 0.0;
    for _ in 0..50 {
        world.come(both, of("both", Class::Standard, 10));
        world.come(only, of("only", Class::Standard, 10));
    }
    world.run(60.0);
    assert!(world.count("both").abs_diff(world.count("only")) <= 1, "{:?}", world.names());
}

#[test]
fn who_rests_holds_nobody_up_and_comes_back_to_its_old_place() {
    let (mut world, pool) = World::new(1);
    let mut request = world.request(pool, Ask { app: "app", ..ask("retry", 100) });
    request.not_before = Some(world.now + secs(15.0));
    request.entry = Entry::Retry;
    world.join(request, "retry");
    for _ in 0..3 {
        world.come(pool, Ask { app: "app", ..ask("other", 100) });
    }
    world.run(45.0);
    assert_eq!(world.names(), ["other", "retry", "other", "other"]);
}

#[test]
fn a_hang_up_lets_those_behind_it_go_at_once() {
    let (mut world, pool) = World::new(1);
    let large = world.come(pool, ask("large", 500));
    world.come(pool, ask("small", 100));
    world.run(20.0);
    assert!(world.went.is_empty());
    assert!(world.line.leave(large).is_some());
    world.serve();
    assert_eq!(world.names(), ["small"]);
    assert!(world.line.leave(large).is_none(), "it left twice");
}

#[test]
fn who_was_told_to_come_back_takes_its_place_and_stands_before_others_meanwhile() {
    let (mut world, pool) = World::new(1);
    let mut request = world.request(pool, Ask { app: "app", ..ask("back", 100) });
    request.likeness = Some(7);
    let place = world.join(request, "back");
    world.come(pool, Ask { app: "app", ..ask("other", 100) });
    let waiter = world.line.leave(place).expect("it waits");
    world.line.remember(&waiter.request, None, world.now + secs(90.0));
    let last = world.request(pool, Ask { app: "app", ..ask("last", 100) });
    assert_eq!(ahead(&mut world, &last), (2, 30.0));
    let back = world.line.recall(&"app".into(), 7, world.now);
    assert_eq!(back, Some((place, Entry::Return)));
    assert_eq!(world.line.recall(&"app".into(), 7, world.now), None, "its place was given twice");
    let request = Request { entry: Entry::Return, ..waiter.request };
    world.join(request, "back");
    world.run(21.0);
    assert_eq!(world.names(), ["back", "other"]);
}

#[test]
fn who_comes_back_when_its_turn_was_said_to_come_is_the_first_of_its_class() {
    let (mut world, pool) = World::new(1);
    let mut request = world.request(pool, ask("back", 100));
    request.likeness = Some(7);
    world.line.remember(&request, Some(world.now + secs(5.0)), world.now + secs(90.0));
    world.come(pool, ask("large", 300));
    world.come(pool, of("urgent", Class::Interactive, 100));
    world.run(5.0);
    let (place, entry) =
        world.line.recall(&"back".into(), 7, world.now).expect("its place is kept");
    assert_eq!(entry, Entry::Due { since: world.now });
    world.join(Request { place, entry, ..request }, "back");
    world.run(60.0);
    assert_eq!(world.names(), ["urgent", "back", "large"]);
}

#[test]
fn a_full_line_shuts_nobody_out_who_has_fewer_in_it() {
    let (mut world, pool) = World::new(1);
    world.line = Line::new(Bounds { waiting: 10, waiting_per_app: 10, bytes: 1_000 });
    let lane = world.line.open_lane();
    world.lanes = vec![(lane, world.lanes[0].1)];
    assert_eq!(pool, world.line.open_pool(vec![lane]));
    for _ in 0..10 {
        world.come(pool, of("many", Class::Standard, 10));
    }
    let more = world.request(pool, of("many", Class::Standard, 10));
    let refused = world.line.join(more, "many", world.now).expect_err("the line is full");
    assert_eq!((refused.full, refused.gone.len()), (Full::App, 0));
    let few = world.request(pool, of("few", Class::Standard, 10));
    let gone = world.line.join(few, "few", world.now).expect("one gives way");
    let last = gone.first().map(|waiter| waiter.request.place);
    assert_eq!(last, Some(Place::new(10, world.now, None)), "not the last one gave way");
    assert_eq!(world.line.len(), 10);
}

/// Returns how many stand before a request, and the seconds until its turn.
fn ahead(world: &mut World, request: &Request) -> (u64, f64) {
    let share = |backlog: Backlog| backlog.tokens as f64 / Lane::FULL;
    let time = |backlog: Backlog| secs(backlog.tokens as f64 / 10.0);
    let pace = Pace { share: &share, time: &time };
    let Request { party, pool, place, cost, .. } = request;
    let stand = Stand { party, pool: *pool, place: *place, cost: *cost };
    let expected = world.line.expected(&stand, world.now, &pace);
    (expected.ahead, expected.wait.as_secs_f64())
}

#[test]
fn the_wait_of_one_among_equal_apps_is_that_of_their_equal_shares() {
    let (mut world, pool) = World::new(1);
    for _ in 0..10 {
        for app in ["one", "two", "three"] {
            world.come(pool, of(app, Class::Standard, 10));
        }
    }
    // The fourth of its app goes when three apps had four each.
    let fourth = world.line.waiters(pool, 12).last().expect("twelve").place;
    let request = world.line.request(fourth).expect("it waits").clone();
    let (ahead, seconds) = ahead(&mut world, &request);
    assert_eq!(ahead, 11);
    assert!((seconds - 12.0).abs() < 0.1, "{seconds} s");
}

#[test]
fn where_many_apps_wait_the_curve_says_what_the_sum_says() {
    let (mut world, pool) = World::new(1);
    for n in 0..4_000_u64 {
        let request = world.request(pool, of("x", Class::Standard, 5 + n % 7));
        let app = format!("app{}", n % 100);
        let party = Party { app: app.as_str().into(), ..request.party };
        world.join(Request { party, ..request }, "x");
    }
    let place = world.line.waiters(pool, 2_050).last().expect("they wait").place;
    let request = world.line.request(place).expect("it waits").clone();
    let (before, seconds) = ahead(&mut world, &request);
    // Half of them stand before it: twenty or twenty-one of each app.
    assert!((1_900..=2_150).contains(&before), "{before} before it");
    assert!((1_550.0..1_720.0).contains(&seconds), "{seconds} s");
}

#[test]
fn many_apps_of_all_classes_can_ask_at_once_without_walking_over_each_other() {
    let (mut world, pool) = World::new(1);
    for n in 0..600_usize {
        let request = world.request(pool, of("x", Class::ALL[n % 3], 5));
        let app = format!("app{n}");
        let party = Party { app: app.as_str().into(), ..request.party };
        world.join(Request { party, ..request }, "x");
    }
    let asked = std::cell::Cell::new(0_u64);
    let share = |backlog: Backlog| {
        asked.set(asked.get() + 1);
        backlog.tokens as f64 / Lane::FULL
    };
    let time = |backlog: Backlog| secs(backlog.tokens as f64 / 10.0);
    let pace = Pace { share: &share, time: &time };
    let all_ask = |world: &mut World| {
        for waiter in world.line.waiters(pool, 600) {
            let Request { party, pool, place, cost, .. } =
                world.line.request(waiter.place).expect("it waits").clone();
            let stand = Stand { party: &party, pool, place, cost };
            let _expected = world.line.expected(&stand, world.now, &pace);
        }
        asked.replace(0)
    };
    let first = all_ask(&mut world);
    assert!(first > 3 * 600, "the curves of three classes were drawn with {first}");
    world.now += Duration::from_millis(300);
    let second = all_ask(&mut world);
    assert!(second <= 2 * 600, "they were drawn again: {second}");
}

#[test]
fn nothing_is_left_when_all_have_gone() {
    let (mut world, pool) = World::new(2);
    for n in 0..300_u64 {
        let class = Class::ALL[usize::try_from(n % 3).expect("small")];
        let request = world.request(pool, of("x", class, 1 + n % 50));
        let app = format!("app{}", n % 17);
        world.join(
            Request { party: Party { app: app.as_str().into(), ..request.party }, ..request },
            "x",
        );
    }
    world.run(2_000.0);
    assert_eq!(world.went.len(), 300);
    assert!(world.line.is_empty());
    assert_eq!(world.line.next_look(), None, "somebody is still looked for");
    assert!(world.line.close_pool(pool));
}
