use std::time::Duration;

use domain::request::Answer;
use domain::task::TaskStageName;
use platform::chance::{SeededRng, bytes};
use platform::db::Db;
use uuid::Uuid;

use super::claim::{Claimed, Room};
use super::record::{Next, Step};
use super::*;
use crate::fixture::on_each_engine;
use crate::{Store, cases, leases};

struct Fixture {
    store: Store,
    rng: SeededRng,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_777_885_200 + second).unwrap()
}

fn system(number: u128) -> SystemId {
    SystemId::from_uuid(Uuid::from_u128(number))
}

fn controller(number: u128) -> ControllerId {
    ControllerId::from_uuid(Uuid::from_u128(number))
}

const ME: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);

impl Fixture {
    fn new(store: Store) -> Self {
        let rng = SeededRng::new(1);
        Self { store, rng }
    }

    fn db(&self) -> &Db {
        self.store.db()
    }

    /// Plans tasks of a controller for a system, due one second after the other.
    async fn plan(&self, system: SystemId, controller: ControllerId, due: &[i64]) -> Vec<TaskId> {
        let mut tx = self.db().begin().await.unwrap();
        let task = |second: &i64| NewTask {
            id: TaskId::new(at(*second), bytes(&self.rng)),
            request: RequestId::new(at(*second), bytes(&self.rng)),
            controller,
            system,
            stage: TaskStage::Due(at(*second)),
            demand: EvidenceLevel::Declared,
            deadline: at(1_000_000),
            digest: [7; 32],
            sealed: vec![1, 2, 3],
        };
        let tasks: Vec<NewTask> = due.iter().map(task).collect();
        insert(&mut tx, &tasks, at(0)).await.unwrap();
        let lanes = due.iter().map(|second| (system, controller, at(*second)));
        leases::wake(&mut tx, lanes).await.unwrap();
        tx.commit().await.unwrap();
        tasks.into_iter().map(|task| task.id).collect()
    }

    async fn renew(&self, worker: Uuid, until: i64) {
        leases::renew(self.db(), worker, at(until)).await.unwrap();
    }

    async fn take(&self, worker: Uuid, now: i64) -> Vec<(SystemId, i64)> {
        let due = leases::due(self.db(), worker, &[], at(now), 100).await.unwrap();
        let free: Vec<SystemId> = due
            .iter()
            .filter(|lane| lane.fence.is_none())
            .map(|lane| lane.system)
            .collect();
        let mut tx = self.db().begin().await.unwrap();
        let taken = leases::take(&mut tx, worker, &free, at(now)).await.unwrap();
        tx.commit().await.unwrap();
        taken.iter().map(|one| (one.system, one.fence)).collect()
    }

    async fn claim(&self, worker: Uuid, rooms: &[(SystemId, ControllerId, i64, i64)], now: i64) -> Vec<Claimed> {
        let room = |(system, controller, fence, tasks): &(SystemId, ControllerId, i64, i64)| Room {
            system: *system,
            controller: *controller,
            freight: leases::Freight::Tasks,
            fence: *fence,
            tasks: *tasks,
        };
        let rooms: Vec<Room> = rooms.iter().map(room).collect();
        let mut tx = self.db().begin().await.unwrap();
        let claimed = claim::claim(&mut tx, worker, &rooms, at(now)).await.unwrap();
        tx.commit().await.unwrap();
        claimed
    }

    async fn record(&self, task: TaskId, fence: i64, next: Next) -> Vec<record::Stepped> {
        let step = Step {
            task,
            fence,
            next,
            steps: 1,
            rejections: 0,
        };
        let mut tx = self.db().begin().await.unwrap();
        let stepped = record::record(&mut tx, &[step]).await.unwrap();
        tx.commit().await.unwrap();
        stepped
    }

    async fn lanes(&self, worker: Uuid, now: i64) -> usize {
        leases::due(self.db(), worker, &[], at(now), 100).await.unwrap().len()
    }
}

fn ids(claimed: &[Claimed]) -> Vec<TaskId> {
    claimed.iter().map(|claimed| claimed.id).collect()
}

#[tokio::test]
async fn a_claim_takes_the_earliest_of_each_lane_and_leaves_the_rest_awake() {
    on_each_engine(async |store| {
        let fixture = Fixture::new(store);
        let (shop, crm) = (system(1), system(2));
        let many = fixture.plan(shop, controller(1), &[1, 2, 3, 90]).await;
        let few = fixture.plan(shop, controller(2), &[4]).await;
        fixture.plan(crm, controller(1), &[5]).await;
        fixture.renew(ME, 60).await;
        let mut taken = fixture.take(ME, 10).await;
        taken.sort_unstable();
        assert_eq!(taken, [(shop, 1), (crm, 1)]);

        let rooms = [(shop, controller(1), 1, 2), (shop, controller(2), 1, 2)];
        let claimed = fixture.claim(ME, &rooms, 10).await;
        assert_eq!(ids(&claimed), [many[0], many[1], few[0]]);
        assert_eq!(claimed[0].sealed.as_deref(), Some(&[1, 2, 3][..]));
        assert_eq!(
            fixture.lanes(ME, 10).await,
            2,
            "one more of the shop's, and the other system's"
        );

        let rest = fixture.claim(ME, &[(shop, controller(1), 1, 9)], 10).await;
        assert_eq!(ids(&rest), [many[2]]);
        assert_eq!(fixture.lanes(ME, 10).await, 1, "the last one is due later");
        assert_eq!(leases::next(fixture.db(), at(10)).await.unwrap(), Some(at(90)));
        let busy = leases::due(fixture.db(), ME, &[crm], at(10), 100).await.unwrap();
        assert_eq!(busy, []);
    })
    .await;
}

#[tokio::test]
async fn only_the_holder_of_the_lease_claims() {
    on_each_engine(async |store| {
        let fixture = Fixture::new(store);
        let shop = system(1);
        let tasks = fixture.plan(shop, controller(1), &[1]).await;
        fixture.renew(ME, 5).await;
        fixture.renew(OTHER, 60).await;
        assert_eq!(fixture.take(ME, 2).await, [(shop, 1)]);
        assert_eq!(fixture.take(OTHER, 3).await, [], "its holder lives");

        assert_eq!(fixture.take(OTHER, 6).await, [(shop, 2)], "its holder is gone");
        assert_eq!(ids(&fixture.claim(ME, &[(shop, controller(1), 1, 9)], 6).await), []);
        assert_eq!(
            ids(&fixture.claim(OTHER, &[(shop, controller(1), 2, 9)], 6).await),
            tasks
        );
    })
    .await;
}

#[tokio::test]
async fn a_result_is_believed_under_its_fence_only() {
    on_each_engine(async |store| {
        let fixture = Fixture::new(store);
        let shop = system(1);
        let task = fixture.plan(shop, controller(1), &[1]).await[0];
        fixture.renew(ME, 5).await;
        fixture.take(ME, 2).await;
        fixture.claim(ME, &[(shop, controller(1), 1, 9)], 2).await;

        // The holder dies; its task is sent by the next one.
        let mut tx = fixture.db().begin().await.unwrap();
        let over = Duration::from_secs(25);
        assert_eq!(release::stale(&mut tx, at(20), over, 10).await.unwrap(), []);
        assert_eq!(release::stale(&mut tx, at(28), over, 10).await.unwrap(), [task]);
        tx.commit().await.unwrap();
        fixture.renew(OTHER, 60).await;
        assert_eq!(fixture.take(OTHER, 28).await, [(shop, 2)]);
        assert_eq!(
            ids(&fixture.claim(OTHER, &[(shop, controller(1), 2, 9)], 28).await),
            [task]
        );

        assert_eq!(fixture.record(task, 1, Next::Delivered(at(29))).await, []);
        let stepped = fixture.record(task, 2, Next::Delivered(at(30))).await;
        assert_eq!(stepped[0].stage, TaskStageName::AwaitingReceipt);
        assert_eq!(stepped[0].dispatched_at, Some(at(30)));
    })
    .await;
}

#[tokio::test]
async fn a_result_after_the_last_word_only_notes_the_handing_over() {
    on_each_engine(async |store| {
        let fixture = Fixture::new(store);
        let shop = system(1);
        fixture.plan(shop, controller(1), &[1]).await;
        fixture.renew(ME, 60).await;
        fixture.take(ME, 2).await;
        let claimed = fixture.claim(ME, &[(shop, controller(1), 1, 9)], 2).await;

        let mut tx = fixture.db().begin().await.unwrap();
        let task = claimed[0].id;
        let last = cases::TaskChange {
            task,
            stage: TaskStage::Done(Answer::Partial),
            last_word: Some(Uuid::from_u128(9)),
        };
        cases::save_tasks(&mut tx, &[last]).await.unwrap();
        tx.commit().await.unwrap();

        let failed = fixture.record(task, 1, Next::Due(at(9))).await;
        assert_eq!((failed[0].stage, failed[0].dispatched_at), (TaskStageName::Done, None));
        let delivered = fixture.record(task, 1, Next::Delivered(at(3))).await;
        assert_eq!(
            (delivered[0].stage, delivered[0].dispatched_at),
            (TaskStageName::Done, Some(at(3)))
        );
    })
    .await;
}

#[tokio::test]
async fn a_claim_in_doubt_is_undone_by_its_instant() {
    on_each_engine(async |store| {
        let fixture = Fixture::new(store);
        let shop = system(1);
        let tasks = fixture.plan(shop, controller(1), &[1, 2]).await;
        fixture.renew(ME, 60).await;
        fixture.take(ME, 2).await;
        fixture.claim(ME, &[(shop, controller(1), 1, 1)], 2).await;
        fixture.claim(ME, &[(shop, controller(1), 1, 1)], 3).await;
        assert_eq!(fixture.lanes(ME, 9).await, 0);

        let mut tx = fixture.db().begin().await.unwrap();
        assert_eq!(release::claim(&mut tx, &[shop], at(3)).await.unwrap(), [tasks[1]]);
        tx.commit().await.unwrap();
        assert_eq!(fixture.lanes(ME, 9).await, 1);
    })
    .await;
}

#[tokio::test]
async fn fetched_tasks_go_round_the_controllers_and_come_back_when_their_time_is_over() {
    on_each_engine(async |store| {
        let fixture = Fixture::new(store);
        let shop = system(1);
        fixture.plan(shop, controller(1), &[1, 2, 3]).await;
        fixture.plan(shop, controller(2), &[1]).await;
        fixture.plan(system(2), controller(1), &[1]).await;
        let fetched = async |after: Option<u128>, most, now| {
            let lease = fetch::Lease {
                system: shop,
                after: after.map(controller),
                most,
                now: at(now),
                until: at(now + 10),
            };
            let mut tx = fixture.db().begin().await.unwrap();
            let fetched = fetch::lease(&mut tx, lease).await.unwrap();
            tx.commit().await.unwrap();
            let of = fetched.iter().map(|one| one.controller.uuid().as_u128());
            of.collect::<Vec<_>>()
        };
        assert_eq!(fetched(None, 2, 2).await, [1, 1], "the third is not due yet");
        assert_eq!(
            fetched(Some(1), 9, 3).await,
            [2, 1],
            "the round goes on behind the last"
        );
        assert_eq!(fetched(Some(1), 9, 3).await, [], "nobody else gets them");
        let stale = async |now| {
            let mut tx = fixture.db().begin().await.unwrap();
            let stale = release::stale(&mut tx, at(now), Duration::from_secs(1), 9)
                .await
                .unwrap();
            tx.commit().await.unwrap();
            stale.len()
        };
        assert_eq!(stale(11).await, 0, "a lease is no attempt of ours");
        let mut tx = fixture.db().begin().await.unwrap();
        assert_eq!(fetch::over(&mut tx, at(12), 9).await.unwrap(), 2);
        tx.commit().await.unwrap();
        assert_eq!(fetched(None, 9, 12).await, [1, 1]);
    })
    .await;
}
