//! `GET /status/{token}`: where a person sees what became of their request.
//!
//! The link is the permission. The page says the same kind of thing whatever is known about the person, in English and
//! in Arabic, and nothing about the person themselves. A link that opens nothing gets a page too, so that a mistyped
//! one is understood.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use actix_web::web::{Data, Path};
use domain::request::{Closing, StageName};
use domain::right::Right;
use jiff::Timestamp;
use platform::secret::{Secret, digest};
use store::requests::{self, Shown};

use crate::doors::Doors;
use crate::refusal::Refusal;

/// Nothing is loaded and nothing runs; the page has its few styles in itself.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = "body{font:1.1rem/1.6 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}\
                     dt{font-weight:600}dd{margin:0 0 1rem}section+section{border-top:1px solid #ccc;margin-top:2rem}";

/// One thing in both languages.
struct Words {
    en: &'static str,
    ar: &'static str,
}

/// Shows a request to whoever has its link.
pub(crate) async fn status(token: Path<Secret>, doors: Data<Doors>) -> Result<HttpResponse, Refusal> {
    let shown = requests::by_status(doors.store.db(), digest(&token)).await?;
    Ok(match shown {
        Some(shown) => page(StatusCode::OK, &english(&shown), &arabic(&shown)),
        None => page(
            StatusCode::NOT_FOUND,
            "<p>This link opens nothing.</p>",
            "<p>هذا الرابط غير صالح.</p>",
        ),
    })
}

/// A status link is a secret: it is neither kept by caches nor told to other sites.
fn page(status: StatusCode, english: &str, arabic: &str) -> HttpResponse {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"robots\" content=\"noindex\">\
         <title>Your request · طلبك</title><style>{STYLE}</style></head><body>\
         <section><h1>Your request</h1>{english}</section>\
         <section lang=\"ar\" dir=\"rtl\"><h1>طلبك</h1>{arabic}</section></body></html>\n"
    );
    HttpResponse::build(status)
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .content_type("text/html; charset=utf-8")
        .body(html)
}

fn english(shown: &Shown) -> String {
    let facts = [
        ("Reference", shown.id.to_string()),
        ("You asked", right(shown.right).en.to_owned()),
        ("Received", day(shown.received_at)),
        ("Answer due by", day(shown.due_at)),
        ("Now", now(shown).en.to_owned()),
    ];
    list(&facts)
}

fn arabic(shown: &Shown) -> String {
    let facts = [
        ("الرقم المرجعي", format!("<bdi>{}</bdi>", shown.id)),
        ("ما طلبته", right(shown.right).ar.to_owned()),
        ("تاريخ الاستلام", day(shown.received_at)),
        ("موعد الرد الأقصى", day(shown.due_at)),
        ("الحالة", now(shown).ar.to_owned()),
    ];
    list(&facts)
}

fn list(facts: &[(&str, String)]) -> String {
    let lines = facts
        .iter()
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{value}</dd>"));
    format!("<dl>{}</dl>", lines.collect::<String>())
}

fn day(at: Timestamp) -> String {
    at.strftime("<bdi>%Y-%m-%d</bdi>").to_string()
}

fn right(right: Right) -> Words {
    let (en, ar) = match right {
        Right::Deletion => ("that your data be deleted", "حذف بياناتك"),
        Right::Access => ("for a copy of your data", "الحصول على نسخة من بياناتك"),
        Right::Correction => ("that your data be corrected", "تصحيح بياناتك"),
        Right::Portability => (
            "for your data in a machine-readable form",
            "الحصول على بياناتك بصيغة قابلة للقراءة آليًا",
        ),
        Right::Restriction => ("that the use of your data be restricted", "تقييد استخدام بياناتك"),
        Right::Objection => ("that the use of your data be stopped", "إيقاف استخدام بياناتك"),
        Right::ConsentWithdrawal => ("to withdraw your consent", "سحب موافقتك"),
        Right::OptOut => (
            "that your data be neither sold nor shared",
            "عدم بيع بياناتك أو مشاركتها",
        ),
        Right::Offboarding => ("for the end of the service", "إنهاء الخدمة"),
    };
    Words { en, ar }
}

/// In plain words. Waiting is waiting: for whom would say whether a business is a client.
fn now(shown: &Shown) -> Words {
    let (en, ar) = match (shown.stage, shown.outcome) {
        (StageName::Closed, Some(Closing::Fulfilled)) => ("Done.", "تم تنفيذ الطلب."),
        (StageName::Closed, Some(Closing::Partly)) => (
            "Done in part; something was kept.",
            "تم تنفيذ جزء من الطلب، واحتُفظ بجزء من البيانات.",
        ),
        (StageName::Closed, Some(Closing::Refused)) => ("The business refused it.", "رفضت الجهة الطلب."),
        (StageName::Closed, Some(Closing::Declined)) => {
            ("Please ask the business itself.", "يرجى التوجه بالطلب إلى الجهة نفسها.")
        }
        (StageName::Closed, Some(Closing::Withdrawn)) => ("You withdrew it.", "سحبتَ الطلب."),
        (StageName::Closed, _) => ("The business could not be reached.", "تعذر الوصول إلى الجهة."),
        (StageName::Planned, _) => (
            "It was passed on and is being worked on.",
            "أُحيل الطلب ويجري العمل عليه.",
        ),
        _ => ("It was received and is being looked at.", "استُلم الطلب وهو قيد النظر."),
    };
    Words { en, ar }
}
