//! A deployment in miniature for tests: its databases, a registry with a few businesses, and the doors, without a
//! socket. SQLite always, and PostgreSQL where `QUITTANCE_TEST_PG` names a server (`postgres://…`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::body::to_bytes;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::web::{Bytes, Data};
use actix_web::{App, web};
use domain::id::{BindingId, ControllerId};
use domain::registration::{Binding, BindingScope, Controller, Instruction};
use domain::right::Channel;
use keys::KeyStore;
use platform::chance::SeededRng;
use platform::clock::ManualClock;
use platform::db::{Args, Db, DbOptions, Statement, connect};
use platform::keyring::{Keyring, Part, generate};
use platform::lifecycle::Stop;
use platform::secret::{Secret, digest};
use serde_json::Value;
use store::Store;
use store::registry::{DirectoryCache, write};
use store::tokens::{self, Role, Token, TokenScope};
use tempfile::TempDir;
use uuid::Uuid;

use crate::accept::accepting;
use crate::channels::meta::Apps;
use crate::channels::telegram::Bots;
use crate::config;
use crate::doors::Doors;
use crate::phrases::PhraseBook;

pub(crate) const OPERATOR: u128 = 1;
pub(crate) const SWEETS: u128 = 2;
pub(crate) const BOOKS: u128 = 3;

/// The app's secret of the committed vectors.
pub(crate) const APP_SECRET: &str = "test-app-secret";
pub(crate) const BOT_SECRET: &str = "bot-secret_1";
const VERIFY_TOKEN: &str = "verify-me";

/// A product's token that reaches everything, and asserts up to the client's login.
pub(crate) const PRODUCT: &str = "token-of-a-product";

/// The accounts of Nablus Sweets; of the operator's shared one; and of Ramallah Books.
pub(crate) const ACCOUNTS: [(Channel, &str, u128, BindingScope); 6] = [
    (Channel::Whatsapp, "106540352242922", SWEETS, BindingScope::Own),
    (Channel::Messenger, "111", SWEETS, BindingScope::Own),
    (Channel::Instagram, "222", SWEETS, BindingScope::Own),
    (Channel::Telegram, "sweets_bot", SWEETS, BindingScope::Own),
    (Channel::Whatsapp, "999", OPERATOR, BindingScope::Shared),
    (Channel::Whatsapp, "333", BOOKS, BindingScope::Own),
];

pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) keys: KeyStore,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) doors: Data<Doors>,
    keyring: Arc<Keyring>,
    router: String,
    _folder: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) fn controller(number: u128) -> ControllerId {
    ControllerId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn binding(place: usize) -> BindingId {
    BindingId::from_uuid(Uuid::from_u128(place as u128 + 1))
}

/// Runs a test on each engine that there is.
pub(crate) async fn on_each_engine(test: impl AsyncFn(House)) {
    test(House::new().await).await;
    if let Ok(server) = std::env::var("QUITTANCE_TEST_PG") {
        let server = server.trim_end_matches('/');
        let names = databases();
        let admin = open(&format!("{server}/postgres")).await;
        for name in &names {
            sql(&admin, format!("CREATE DATABASE {name}")).await;
        }
        let [router, keys] = names.each_ref().map(|name| format!("{server}/{name}"));
        test(House::over(tempfile::tempdir().unwrap(), router, &keys).await).await;
        for name in &names {
            sql(&admin, format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

/// Names that no other test of this machine uses: the router's, the keys'.
fn databases() -> [String; 2] {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    ["router", "keys"].map(|part| format!("intake_{}_{number}_{part}", std::process::id()))
}

impl House {
    /// On SQLite.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
        let (router, keys) = (url("router.db"), url("keys.db"));
        Self::over(folder, router, &keys).await
    }

    async fn over(folder: TempDir, router: String, keys: &str) -> Self {
        let clock = ManualClock::at("2026-05-04T09:00:00Z".parse().unwrap());
        let rng = Arc::new(SeededRng::new(7));
        let (db, keys) = (open(&router).await, open(keys).await);
        db.migrate(&store::MIGRATIONS).await.unwrap();
        keys.migrate(&keys::MIGRATIONS).await.unwrap();
        let keyring = Arc::new(Keyring::parse(&generate(Part::ALL, &*rng), "test", rng.clone()).unwrap());
        let store = Store::new(db);
        let keys = KeyStore::new(keys, Arc::clone(&keyring), rng.clone(), clock.clone());
        register(&store, clock.as_ref()).await;
        let registry = DirectoryCache::new(store.clone());
        registry.refresh().await.unwrap();
        let doors = doors(&store, &keys, registry, &keyring, &clock, &rng);
        Self {
            store,
            keys,
            clock,
            doors,
            keyring,
            router,
            _folder: folder,
        }
    }

    /// The same at a moment when the registry was never read.
    pub(crate) fn without_registry(mut self) -> Self {
        let registry = DirectoryCache::new(self.store.clone());
        let rng = Arc::new(SeededRng::new(8));
        self.doors = doors(&self.store, &self.keys, registry, &self.keyring, &self.clock, &rng);
        self
    }

    /// The doors of a second process over the same databases.
    pub(crate) async fn second(&self) -> Store {
        Store::new(open(&self.router).await)
    }

    /// Calls the service.
    pub(crate) async fn call(&self, request: TestRequest) -> Answer {
        let app = App::new()
            .default_service(web::to(actix_web::HttpResponse::NotFound))
            .configure(|config| crate::service::routes(config, &self.doors));
        let response = call_service(&init_service(app).await, request.to_request()).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body()).await.unwrap();
        Answer { status, headers, body }
    }

    /// The one number that a statement gives.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let statement = Statement::both("test", Box::leak(sql.to_owned().into_boxed_str()));
        self.store.db().fetch(&statement, Args::new()).await.unwrap()[0]
            .get(0)
            .unwrap()
    }

    /// Runs a statement.
    pub(crate) async fn sql(&self, text: &str) {
        sql(self.store.db(), text.to_owned()).await;
    }

    /// Whether the database is PostgreSQL.
    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.store.db(), Db::Pg(_))
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

async fn open(url: &str) -> Db {
    let options = DbOptions {
        max_connections: 8,
        application: "test",
    };
    connect(url, &options).await.unwrap()
}

async fn sql(db: &Db, text: String) {
    let statement = Statement::both("test", Box::leak(text.into_boxed_str()));
    db.execute(&statement, Args::new()).await.unwrap();
}

fn doors(
    store: &Store,
    keys: &KeyStore,
    registry: DirectoryCache,
    keyring: &Keyring,
    clock: &Arc<ManualClock>,
    rng: &Arc<SeededRng>,
) -> Data<Doors> {
    let shared: platform::clock::SharedClock = clock.clone();
    let (accepting, workers) = accepting(store, keys, &shared);
    for worker in workers {
        tokio::spawn(worker.run(Stop::default()));
    }
    let app = config::App {
        secret: Secret::new(APP_SECRET),
        previous_secret: Some(Secret::new("before")),
        verify_token: Secret::new(VERIFY_TOKEN),
    };
    let bot = config::Bot {
        secret: Secret::new(BOT_SECRET),
        previous_secret: None,
    };
    Data::new(Doors {
        accepting,
        store: store.clone(),
        tokens: store::tokens::Finder::new(store.db().clone()),
        keys: keys.clone(),
        registry,
        phrases: PhraseBook::default(),
        apps: Apps::new(BTreeMap::from([("smart-reply".to_owned(), app)])),
        bots: Bots::new(BTreeMap::from([("sweets_bot".to_owned(), bot)])),
        dedupe: keyring.dedupe().unwrap(),
        public_url: "https://router.example".to_owned(),
        clock: shared,
        rng: rng.clone(),
    })
}

/// Businesses, accounts and a token. Nablus Sweets lets us act; Ramallah Books has said nothing.
async fn register(store: &Store, clock: &dyn platform::clock::Clock) {
    let now = clock.now();
    let names = [
        (OPERATOR, "operator"),
        (SWEETS, "nablus-sweets"),
        (BOOKS, "ramallah-books"),
    ];
    let controllers: Vec<_> = names
        .iter()
        .map(|(number, slug)| (business(*number, slug), None))
        .collect();
    let bindings: Vec<Binding> = ACCOUNTS
        .iter()
        .enumerate()
        .map(|(at, account)| account_of(at, *account))
        .collect();
    let instruction: Instruction = serde_json::from_value(serde_json::json!({
        "id": "ins_00000000000000000000000009", "controller": controller(SWEETS), "version": 1,
        "mode": "act_on_instruction", "rights": ["deletion"], "approver": "usr_1",
    }))
    .unwrap();
    let work = store.db().transaction("test", move |tx| {
        let (controllers, bindings, instruction) = (controllers.clone(), bindings.clone(), instruction.clone());
        Box::pin(async move {
            write::upsert_controllers(tx, &controllers, now).await?;
            write::upsert_bindings(tx, &bindings, now).await?;
            let entry = domain::id::EntryId::from_uuid(Uuid::from_u128(5));
            write::insert_instructions(tx, &[(instruction, entry)], now).await?;
            write::bump(tx, 1).await
        })
    });
    work.await.unwrap();
    sql(store.db(), "UPDATE instruction SET state = 'active'".to_owned()).await;
    tokens::insert(store.db(), &token(PRODUCT, TokenScope::everything(), now))
        .await
        .unwrap();
}

pub(crate) fn token(text: &str, scope: TokenScope, now: jiff::Timestamp) -> Token {
    Token {
        digest: digest(&Secret::new(text)),
        role: Role::Product,
        label: "test".to_owned(),
        scope,
        created_at: now,
        expires_at: None,
        revoked_at: None,
    }
}

fn business(number: u128, slug: &str) -> Controller {
    serde_json::from_value(serde_json::json!({
        "id": controller(number), "slug": slug, "name": slug, "regime": "gdpr", "zone": "Asia/Hebron",
        "country": "PS", "issuer": format!("https://{slug}.example"), "operator": number == OPERATOR,
    }))
    .unwrap()
}

fn account_of(place: usize, (channel, account, whose, scope): (Channel, &str, u128, BindingScope)) -> Binding {
    Binding {
        id: binding(place),
        controller: controller(whose),
        product: "smart-reply".to_owned(),
        channel,
        account: account.to_owned(),
        scope,
    }
}
