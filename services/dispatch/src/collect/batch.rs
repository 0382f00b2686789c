//! One transaction for all receipts that wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::id::{EntryId, EventId, MessageId, ReceiptId, RequestId};
use evidence::entry::Entry;
use evidence::entry::body::{self, Body};
use jiff::Timestamp;
use keys::{Class, DataKey, KeyStore};
use platform::chance::{self, SharedRng};
use platform::clock::SharedClock;
use platform::db::{DbError, Tx};
use platform::lifecycle::Stop;
use proto::ReceiptPublished;
use store::entries::{self, EntryRow};
use store::happenings;
use store::outbox::{self, OutboxRow};
use store::receipts::{self, AnomalyRow, ReceiptRow};
use store::registry::{Directory, DirectoryCache};
use store::{Store, cases};

use super::desk::{Decided, Desk, Drawn, Kept, SIGNER};
use super::{Incoming, Queue, Taken, notices};
use crate::messages::{Occurrence, entry_row, outbox_row};

/// The sealed field of a receipt's exact bytes.
const FIELD: &str = "receipt";

/// Ids count milliseconds; one more is enough to come after those of the same batch.
const AFTER_RECEIPTS: Duration = Duration::from_millis(1);

/// What taking a batch needs of the process.
#[derive(Debug, Clone)]
pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) keys: KeyStore,
    pub(crate) directory: DirectoryCache,
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
}

/// Takes what waits until the stop; then what was brought before it.
pub(crate) async fn run(bench: Bench, queue: Queue, stop: Stop) -> Result<(), std::convert::Infallible> {
    loop {
        let batch = tokio::select! {
            biased;
            batch = queue.next() => batch,
            // The server takes no more by then; deliveries under way may still bring a receipt until the hard stop.
            () = stop.hard() => return Ok(()),
        };
        let Some(batch) = batch else { return Ok(()) };
        let taken = bench.take_all(&batch.items).await;
        batch.answer(taken);
        bench.store.waker().wake();
    }
}

impl Bench {
    /// If the database refuses the batch because of what is in it, each member is taken alone.
    async fn take_all(&self, items: &[Incoming]) -> Vec<Taken> {
        match self.take(items).await {
            Ok(taken) => taken,
            Err(error) if items.len() > 1 && error.is_of_content() => {
                let mut taken = Vec::with_capacity(items.len());
                for item in items {
                    taken.push(self.take_one(item).await);
                }
                taken
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    receipts = items.len(),
                    "receipts not stored"
                );
                vec![Taken::Failed; items.len()]
            }
        }
    }

    async fn take_one(&self, item: &Incoming) -> Taken {
        match self.take(std::slice::from_ref(item)).await {
            Ok(taken) => taken.into_iter().next().unwrap_or(Taken::Failed),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a receipt was not stored");
                Taken::Failed
            }
        }
    }

    async fn take(&self, items: &[Incoming]) -> Result<Vec<Taken>, DbError> {
        let keys = self.evidence_keys(items).await?;
        let now = self.clock.now();
        let order = Arc::new(Order {
            items: items.to_vec(),
            drawn: items.iter().map(|_| self.draw(now)).collect(),
            keys,
            directory: self.directory.current(),
            now,
            rng: Arc::clone(&self.rng),
        });
        let db = self.store.db();
        db.transaction("collect_receipts", move |tx| {
            let order = Arc::clone(&order);
            Box::pin(async move { order.carry_out(tx).await })
        })
        .await
    }

    /// Fetched before the transaction, from another database; a request without its key can't keep its receipt.
    async fn evidence_keys(&self, items: &[Incoming]) -> Result<HashMap<RequestId, DataKey>, DbError> {
        let mut requests: Vec<RequestId> = items.iter().map(|item| item.receipt.request).collect();
        requests.sort_unstable();
        requests.dedup();
        self.keys
            .load(Class::Evidence, &requests)
            .await
            .map_err(|error| match error {
                keys::KeyError::Database(error) => error,
                error => {
                    tracing::error!(error = &error as &dyn std::error::Error, "evidence keys can't be read");
                    DbError::Inconsistent("evidence keys can't be read")
                }
            })
    }

    fn draw(&self, now: Timestamp) -> Drawn {
        Drawn {
            receipt: ReceiptId::new(now, chance::bytes(&*self.rng)),
            entry: EntryId::new(now, chance::bytes(&*self.rng)),
            anomaly: EventId::new(now, chance::bytes(&*self.rng)),
        }
    }
}

/// A batch with everything that its transaction needs, so that it can run again after a collision.
struct Order {
    items: Vec<Incoming>,
    drawn: Vec<Drawn>,
    keys: HashMap<RequestId, DataKey>,
    directory: Arc<Directory>,
    now: Timestamp,
    rng: SharedRng,
}

impl Order {
    async fn carry_out(&self, tx: &mut Tx) -> Result<Vec<Taken>, DbError> {
        let mut desk = self.desk(tx).await?;
        let mut taken = Vec::with_capacity(self.items.len());
        for (place, (item, drawn)) in self.items.iter().zip(&self.drawn).enumerate() {
            taken.push(desk.take(place, item, *drawn)?);
        }
        let cases = desk.cases;
        self.write(tx, desk.decided, &cases).await?;
        Ok(taken)
    }

    async fn desk(&self, tx: &mut Tx) -> Result<Desk<'_>, DbError> {
        let requests: Vec<RequestId> = self.keys.keys().copied().collect();
        Ok(Desk {
            cases: cases::lock(tx, &requests).await?,
            known: receipts::known(tx, &self.named()).await?,
            directory: &self.directory,
            now: self.now,
            decided: Decided::default(),
        })
    }

    /// The receipts that came, and those that they supersede.
    fn named(&self) -> Vec<(&str, uuid::Uuid)> {
        let named = self.items.iter().flat_map(|item| {
            let issuer = item.receipt.issuer.as_str();
            let earlier = match &item.receipt.report {
                domain::receipt::Report::Amended { supersedes, .. } => Some(*supersedes),
                _ => None,
            };
            std::iter::once(item.receipt.jti)
                .chain(earlier)
                .map(move |jti| (issuer, jti))
        });
        named.collect()
    }

    async fn write(
        &self,
        tx: &mut Tx,
        decided: Decided,
        cases: &HashMap<RequestId, cases::Case>,
    ) -> Result<(), DbError> {
        let rows: Vec<ReceiptRow> = decided
            .receipts
            .iter()
            .map(|kept| self.receipt(kept, cases))
            .collect::<Result<_, _>>()?;
        receipts::insert(tx, &rows, self.now).await?;
        receipts::supersede(tx, &decided.superseded).await?;
        receipts::insert_anomalies(tx, &self.anomalies(&decided), self.now).await?;
        cases::save_tasks(tx, &decided.tasks.values().copied().collect::<Vec<_>>()).await?;
        cases::save_requests(tx, &decided.requests.values().copied().collect::<Vec<_>>()).await?;
        entries::put(tx, &self.entries(&decided, &rows, cases), self.now).await?;
        outbox::put(tx, &self.messages(&decided, &rows, cases)).await?;
        let told = notices::told(&decided.happened, cases, &self.directory, self.now, &*self.rng);
        happenings::put(tx, &told).await
    }

    fn receipt(&self, kept: &Kept, cases: &HashMap<RequestId, cases::Case>) -> Result<ReceiptRow, DbError> {
        let item = &self.items[kept.place];
        let receipt = &item.receipt;
        let key = self
            .keys
            .get(&receipt.request)
            .ok_or(DbError::Inconsistent("a request has no evidence key"))?;
        let case = cases
            .get(&receipt.request)
            .ok_or(DbError::Inconsistent("a receipt without its request"))?;
        Ok(ReceiptRow {
            id: kept.drawn.receipt,
            request: receipt.request,
            task: receipt.report.task(),
            controller: case.controller,
            system: kept.system,
            issuer: receipt.issuer.clone(),
            kid: receipt.kid.clone(),
            jti: receipt.jti,
            statement_digest: receipt.report_digest(),
            signer: SIGNER,
            level: receipt.report.level(),
            outcome: receipt.outcome(),
            standing: kept.standing,
            sealed: key.seal(FIELD, &item.token),
            entry: kept.drawn.entry,
        })
    }

    fn anomalies(&self, decided: &Decided) -> Vec<AnomalyRow> {
        let row = |odd: &super::desk::Odd| AnomalyRow {
            id: odd.id,
            kind: odd.kind,
            request: Some(odd.request),
            task: Some(odd.task),
            system: None,
            sealed: self
                .keys
                .get(&odd.request)
                .map(|key| key.seal("anomaly", &self.items[odd.place].token)),
        };
        decided.anomalies.iter().map(row).collect()
    }

    fn entries(
        &self,
        decided: &Decided,
        rows: &[ReceiptRow],
        cases: &HashMap<RequestId, cases::Case>,
    ) -> Vec<EntryRow> {
        let receipts = decided.receipts.iter().zip(rows).map(|(kept, row)| {
            let told = Body::Receipt(body::Receipt {
                receipt: row.id,
                task: row.task,
                system: row.system,
                signer: row.signer,
                level: row.level,
                received_at: self.now,
                jws: String::from_utf8_lossy(&self.items[kept.place].token).into_owned(),
            });
            self.entry(row.entry, row.request, told, cases)
        });
        let others = decided.entries.iter().map(|(request, told)| {
            // Entries leave in the order of their ids: a closure follows the receipts that it rests on.
            let id = EntryId::new(self.now + AFTER_RECEIPTS, chance::bytes(&*self.rng));
            self.entry(id, *request, told.clone(), cases)
        });
        receipts.chain(others).flatten().collect()
    }

    fn entry(
        &self,
        id: EntryId,
        request: RequestId,
        told: Body,
        cases: &HashMap<RequestId, cases::Case>,
    ) -> Option<EntryRow> {
        let controller = cases.get(&request)?.controller;
        let entry = Entry {
            id,
            controller,
            request: Some(request),
            at: self.now,
            body: told,
        };
        Some(entry_row(&entry))
    }

    fn messages(
        &self,
        decided: &Decided,
        rows: &[ReceiptRow],
        cases: &HashMap<RequestId, cases::Case>,
    ) -> Vec<OutboxRow> {
        let id = || MessageId::new(self.now, chance::bytes(&*self.rng));
        let receipts = decided.receipts.iter().zip(rows).map(|(kept, row)| {
            let published = ReceiptPublished {
                message_id: id(),
                occurred_at: self.now,
                request: row.request,
                controller: row.controller,
                task: row.task,
                system: row.system,
                signer: row.signer,
                jws: self.items[kept.place].token.clone(),
            };
            outbox_row(published.message_id, published.envelope())
        });
        let happened = decided.happened.iter().filter_map(|(request, version, happened)| {
            let event = Occurrence {
                request: *request,
                controller: cases.get(request)?.controller,
                version: *version,
                happened: *happened,
            };
            Some(event.row(self.now, &*self.rng))
        });
        receipts.chain(happened).collect()
    }
}
