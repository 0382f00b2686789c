//! Who is calling: the extractor is the permission.

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::assurance::AssuranceLevel;
use futures_util::future::LocalBoxFuture;
use platform::http::bearer;
use store::scope::Scope;
use store::tokens::{Role, Token};

use crate::doors::Doors;
use crate::refusal::Refusal;

/// A product, or the operator's staff.
#[derive(Debug)]
pub(crate) struct Caller {
    /// What it may see and make.
    pub(crate) scope: Scope,
    /// The highest assurance that it may assert.
    pub(super) assurance: AssuranceLevel,
    /// Names the caller where its idempotency keys are told from other callers'.
    pub(super) name: String,
}

impl FromRequest for Caller {
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let presented = bearer(request);
        let doors = request.app_data::<Data<Doors>>().cloned();
        Box::pin(async move {
            let doors = doors.expect("every route has the doors");
            let presented = presented.ok_or(Refusal::Unauthorized)?;
            let token = doors.tokens.find(&presented, doors.now()).await?;
            token.as_ref().and_then(Self::of).ok_or(Refusal::Unauthorized)
        })
    }
}

impl Caller {
    /// A system's token opens dispatch's doors, and none here.
    fn of(token: &Token) -> Option<Self> {
        match token.role {
            Role::System(_) => None,
            Role::Product | Role::Operator => Some(Self {
                scope: Scope::from(&token.scope),
                assurance: token.scope.assurance,
                // Labels may repeat, and a shared name would hand one caller's answer to another.
                name: URL_SAFE_NO_PAD.encode(token.digest),
            }),
        }
    }
}
