//! The computation of a date in plain English, as an auditor follows it with a calendar in hand.
//!
//! Only dates, rules and the names of holidays and zones: nothing here knows the person.

use std::fmt::Write as _;

use jiff::civil::{Date, Weekday};

use super::calendar::{Coverage, Free, Place, Week};
use super::candidate::{Kind, Span};
use super::rules::{Certainty, Pausing, Period, Term};

/// Why a term of the law ends when it does; `notice` is the date on which the person was told of an extension.
pub(super) fn by_law(term: &Term, notice: Option<Date>, span: &Span, week: &Week, place: &Place) -> String {
    let law = &term.law;
    let opening = match (term.kind, notice) {
        (Kind::Extended, Some(notice)) => format!("{law}: extended by notice of {}: ", day(notice)),
        (Kind::Extended, None) => format!("{law}: if extended, "),
        (Kind::Acknowledge, _) => format!("{law}, confirming receipt: "),
        _ => format!("{law}: "),
    };
    opening + &course(term.within, term.roll, span, week, place)
}

/// Why the contract's term ends when it does.
pub(super) fn by_contract(kind: Kind, within: Period, span: &Span, week: &Week, place: &Place) -> String {
    let opening = match kind {
        Kind::ContractAcknowledge => "Contract, confirming receipt: ",
        _ => "Contract: ",
    };
    opening.to_owned() + &course(within, false, span, week, place)
}

/// Why our own margin ends before the law's term.
pub(super) fn margin(term: &Term, legal: Date, date: Date, place: &Place) -> String {
    let (law, days, zone) = (&term.law, plural(u16::from(term.margin_days), "day"), place.zone());
    let (legal, date) = (day(legal), day(date));
    format!("{law}: {days} before {legal}, in case the day of receipt counts as the first: {date}, 23:59:59 {zone}")
}

/// Where the rule stands, and how sure we are of it.
pub(super) fn source(term: &Term, pausing: &Pausing, paused_days: i32) -> String {
    let mut text = format!("{} ({})", term.source, sure(term.certainty));
    if paused_days != 0 {
        let _ = write!(text, "; {}", pausing.source);
    }
    text
}

/// “one month from receipt on 31 Jan 2026 ends 28 Feb 2026 (Sat), next working day Mon 2 Mar 2026, 23:59:59 …”.
fn course(within: Period, roll: bool, span: &Span, week: &Week, place: &Place) -> String {
    let verb = if matches!(within, Period::Months(1) | Period::Days(1) | Period::BusinessDays(1)) {
        "ends"
    } else {
        "end"
    };
    let mut text = format!(
        "{} from receipt on {} {verb} {}",
        period(within),
        day(span.received),
        day(span.counted)
    );
    if let Period::BusinessDays(_) = within {
        left_out(&mut text, &week.holidays(span.received, span.counted));
    }
    if span.paused_days != 0 {
        let days = plural(
            span.paused_days.unsigned_abs().try_into().unwrap_or(u16::MAX),
            "paused day",
        );
        let _ = write!(text, ", moved by {days} to {}", day(span.moved));
    }
    if span.end != span.moved {
        rolled(&mut text, span, week);
    }
    let _ = write!(text, ", 23:59:59 {}", place.zone());
    if roll || matches!(within, Period::BusinessDays(_)) {
        text += &coverage(week.coverage(span.received, span.end), place);
    }
    text
}

fn rolled(text: &mut String, span: &Span, week: &Week) {
    let why = match week.free(span.moved) {
        Some(Free::Weekend(weekday)) => short(weekday),
        Some(Free::Holiday(name)) => name,
        None => "free",
    };
    let _ = write!(text, " ({why}), next working day {}", weekday_and_day(span.end));
    left_out(text, &week.holidays(span.moved, span.end));
}

fn left_out(text: &mut String, holidays: &[(Date, &str)]) {
    for (place, (date, name)) in holidays.iter().enumerate() {
        let joint = if place == 0 { ", not counting" } else { " and" };
        let _ = write!(text, "{joint} {name} ({})", day(*date));
    }
}

fn coverage(coverage: Coverage, place: &Place) -> String {
    match coverage {
        Coverage::Full => String::new(),
        Coverage::Years { from, to } => {
            format!(
                " (the holidays of {} are known for {from} to {to}; elsewhere weekends alone count)",
                place.country()
            )
        }
        Coverage::WeekendsOnly => format!(" (no holidays of {} apply: weekends alone count)", place.country()),
    }
}

fn period(within: Period) -> String {
    match within {
        Period::Months(months) => plural(months, "month"),
        Period::Days(days) => plural(days, "day"),
        Period::BusinessDays(days) => plural(days, "business day"),
    }
}

/// Small numbers as words, as the laws write them.
fn plural(count: u16, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    match count {
        1 => format!("one {noun}{s}"),
        2 => format!("two {noun}{s}"),
        3 => format!("three {noun}{s}"),
        _ => format!("{count} {noun}{s}"),
    }
}

fn day(date: Date) -> String {
    date.strftime("%-d %b %Y").to_string()
}

fn weekday_and_day(date: Date) -> String {
    date.strftime("%a %-d %b %Y").to_string()
}

fn short(weekday: Weekday) -> &'static str {
    match weekday {
        Weekday::Monday => "Mon",
        Weekday::Tuesday => "Tue",
        Weekday::Wednesday => "Wed",
        Weekday::Thursday => "Thu",
        Weekday::Friday => "Fri",
        Weekday::Saturday => "Sat",
        Weekday::Sunday => "Sun",
    }
}

fn sure(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Read => "read in the source",
        Certainty::SecondHand => "second-hand",
        Certainty::Memory => "from memory, to be checked",
    }
}
