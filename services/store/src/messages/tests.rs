use std::time::Duration;

use domain::message::MessageStage;
use domain::receipt::EvidenceLevel;
use domain::request::Answer;
use domain::task::{ParkReason, TaskStage};
use platform::chance::{SeededRng, bytes};
use uuid::Uuid;

use super::claim::ClaimedMessage;
use super::record::{MessageNext, MessageStep};
use super::*;
use crate::fixture::on_each_engine;
use crate::leases::Freight;
use crate::tasks::claim::Room;
use crate::tasks::{self, NewTask};
use crate::{Store, cases};

const ME: Uuid = Uuid::from_u128(1);
const SHOP: SystemId = SystemId::from_uuid(Uuid::from_u128(2));
const OWNER: ControllerId = ControllerId::from_uuid(Uuid::from_u128(3));

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_777_885_200 + second).unwrap()
}

struct Fixture {
    store: Store,
    rng: SeededRng,
}

impl Fixture {
    /// With the endpoint in hand.
    async fn new(store: Store) -> Self {
        leases::renew(store.db(), ME, at(60)).await.unwrap();
        let mut tx = store.db().begin().await.unwrap();
        leases::take(&mut tx, ME, &[SHOP], at(0)).await.unwrap();
        tx.commit().await.unwrap();
        let rng = SeededRng::new(1);
        Self { store, rng }
    }

    async fn tell(&self, kind: MessageType, task: Option<TaskId>, due: i64) -> MessageId {
        let message = NewMessage {
            id: MessageId::new(at(due), bytes(&self.rng)),
            system: SHOP,
            controller: OWNER,
            kind,
            request: RequestId::from_uuid(Uuid::from_u128(4)),
            task,
            due: at(due),
            deadline: at(1_000),
            digest: [7; 32],
            sealed: vec![1, 2, 3],
        };
        let mut tx = self.store.db().begin().await.unwrap();
        insert(&mut tx, std::slice::from_ref(&message), at(0)).await.unwrap();
        tx.commit().await.unwrap();
        message.id
    }

    async fn task(&self, stage: TaskStage) -> TaskId {
        let task = NewTask {
            id: TaskId::new(at(0), bytes(&self.rng)),
            request: domain::id::RequestId::new(at(0), bytes(&self.rng)),
            controller: OWNER,
            system: SHOP,
            stage: TaskStage::Held,
            demand: EvidenceLevel::Declared,
            deadline: at(1_000),
            digest: [7; 32],
            sealed: vec![],
        };
        let change = cases::TaskChange {
            task: task.id,
            stage,
            last_word: None,
        };
        let mut tx = self.store.db().begin().await.unwrap();
        tasks::insert(&mut tx, std::slice::from_ref(&task), at(0))
            .await
            .unwrap();
        cases::save_tasks(&mut tx, &[change]).await.unwrap();
        tx.commit().await.unwrap();
        task.id
    }

    async fn claim(&self, now: i64) -> Vec<ClaimedMessage> {
        let room = Room {
            system: SHOP,
            controller: OWNER,
            freight: Freight::Messages,
            fence: 1,
            tasks: 9,
        };
        let mut tx = self.store.db().begin().await.unwrap();
        let claimed = claim::claim(&mut tx, ME, &[room], at(now)).await.unwrap();
        tx.commit().await.unwrap();
        claimed
    }

    async fn record(&self, message: MessageId, fence: i64, next: MessageNext) -> usize {
        let step = MessageStep {
            message,
            fence,
            next,
            steps: 1,
            rejections: 0,
        };
        let mut tx = self.store.db().begin().await.unwrap();
        let written = record::record(&mut tx, &[step]).await.unwrap();
        tx.commit().await.unwrap();
        written.len()
    }

    async fn lanes(&self, now: i64) -> Vec<Freight> {
        let due = leases::due(self.store.db(), ME, &[], at(now), 9).await.unwrap();
        due.iter().map(|lane| lane.freight).collect()
    }
}

#[tokio::test]
async fn a_message_has_a_lane_of_its_own_and_comes_again_until_it_is_over() {
    on_each_engine(async |store| {
        let fixture = Fixture::new(store).await;
        let first = fixture.tell(MessageType::RequestClosed, None, 1).await;
        fixture.tell(MessageType::RequestClosed, None, 50).await;
        assert_eq!(fixture.lanes(1).await, [Freight::Messages]);
        let claimed = fixture.claim(1).await;
        assert_eq!((claimed.len(), claimed[0].id), (1, first));
        assert_eq!(claimed[0].sealed, [1, 2, 3]);
        assert_eq!(fixture.lanes(1).await, []);

        assert_eq!(fixture.record(first, 2, MessageNext::Delivered(at(2))).await, 0);
        assert_eq!(fixture.record(first, 1, MessageNext::Due(at(5))).await, 1);
        assert_eq!(fixture.lanes(5).await, [Freight::Messages]);
        let again = fixture.claim(5).await;
        assert_eq!((again[0].id, again[0].steps), (first, 1));
        assert_eq!(fixture.record(first, 1, MessageNext::Delivered(at(6))).await, 1);
        assert_eq!(fixture.record(first, 1, MessageNext::Due(at(7))).await, 0, "it is over");
        assert_eq!(fixture.lanes(49).await, []);
    })
    .await;
}

#[tokio::test]
async fn nobody_is_reminded_after_the_last_word() {
    on_each_engine(async |store| {
        let fixture = Fixture::new(store).await;
        let done = fixture.task(TaskStage::Done(Answer::Completed)).await;
        let silent = fixture.task(TaskStage::AwaitingReceipt).await;
        fixture.tell(MessageType::TaskReminder, Some(done), 1).await;
        let reminder = fixture.tell(MessageType::TaskReminder, Some(silent), 1).await;
        let withdrawn = fixture.tell(MessageType::TaskWithdrawn, Some(done), 2).await;
        let claimed: Vec<MessageId> = fixture.claim(5).await.iter().map(|one| one.id).collect();
        assert_eq!(claimed, [reminder, withdrawn]);
    })
    .await;
}

#[tokio::test]
async fn what_nobody_sends_is_due_again() {
    on_each_engine(async |store| {
        let fixture = Fixture::new(store).await;
        let message = fixture.tell(MessageType::RequestClosed, None, 1).await;
        fixture.claim(2).await;
        let mut tx = fixture.store.db().begin().await.unwrap();
        let undone = record::release_claim(&mut tx, &[SHOP], at(2)).await.unwrap();
        assert_eq!(undone, [message]);
        tx.commit().await.unwrap();

        fixture.claim(3).await;
        let mut tx = fixture.store.db().begin().await.unwrap();
        let over = Duration::from_secs(25);
        assert_eq!(record::release_stale(&mut tx, at(40), over, 9).await.unwrap(), []);
        let stale = record::release_stale(&mut tx, at(90), over, 9).await.unwrap();
        assert_eq!(stale, [message], "its holder's lease has ended");
        tx.commit().await.unwrap();
        assert_eq!(fixture.lanes(90).await, [Freight::Messages]);
    })
    .await;
}

#[tokio::test]
async fn what_is_over_goes_after_its_time_and_what_was_given_up_is_counted() {
    on_each_engine(async |store| {
        let fixture = Fixture::new(store).await;
        let lost = fixture.tell(MessageType::RequestClosed, None, 1).await;
        let open = fixture.tell(MessageType::RequestClosed, None, 1).await;
        fixture.claim(2).await;
        let lost = fixture
            .record(lost, 1, MessageNext::GivenUp(ParkReason::Gone, at(3)))
            .await;
        let open = fixture.record(open, 1, MessageNext::Due(at(9))).await;
        assert_eq!((lost, open), (1, 1));
        let db = fixture.store.db();
        assert_eq!(given_up(db).await.unwrap(), 1);
        assert_eq!(sweep(db, MessageStage::GivenUp, at(3), 9).await.unwrap(), 0);
        assert_eq!(sweep(db, MessageStage::Delivered, at(4), 9).await.unwrap(), 0);
        assert_eq!(sweep(db, MessageStage::GivenUp, at(4), 9).await.unwrap(), 1);
        assert_eq!(given_up(db).await.unwrap(), 0);
        assert_eq!(fixture.claim(9).await.len(), 1, "what is open stays");
    })
    .await;
}
