//! Whose midnight ends a day, and which days are free.
//!
//! Free days are data with sources: a table a country, with the years that it covers. A day that is missing from a
//! table makes a date too early; a false one makes it illegally late. So where a law and a country disagree about a
//! weekend, a day is free only if both say so (`Calendar::under`), and a controller's own days are for holidays
//! that the tables lack.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use jiff::civil::{Date, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::rules::{Certainty, Period, WorkingDays};
use crate::word::vocabulary;

/// The zones inside the program: what the machine has installed must not change a due date.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    toml::from_str(include_str!("../../regimes/calendars.toml"))
        .expect("the embedded calendars parse: a test reads them all")
});

/// Ten regional holidays a year for twenty years, and room.
const MAX_OWN_DAYS: usize = 400;

/// A week with fewer than four working days is a slip of the pen.
const MAX_WEEKEND: usize = 3;

vocabulary! {
    /// A day of the week.
    DayName ("day of the week") {
        /// 1 in ISO 8601.
        Monday = "monday",
        /// 2.
        Tuesday = "tuesday",
        /// 3.
        Wednesday = "wednesday",
        /// 4.
        Thursday = "thursday",
        /// 5.
        Friday = "friday",
        /// 6.
        Saturday = "saturday",
        /// 7.
        Sunday = "sunday",
    }
}

/// What a controller knows better than the country's table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OwnDays {
    /// Its weekend, where it isn't the country's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weekend: Option<BTreeSet<DayName>>,
    /// Public holidays that the table lacks, such as its region's. Not the days on which its office is shut.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub holidays: BTreeSet<Date>,
    /// Days of the table that are no holiday there.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub working: BTreeSet<Date>,
}

/// Why a place was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Not in the IANA time zone database.
    #[error("unknown time zone; an IANA name such as Europe/Berlin was expected")]
    Zone,
    /// Not two capital letters.
    #[error("a country is two capital letters (ISO 3166-1), such as DE")]
    Country,
    /// No weekend, or nearly nothing else.
    #[error("a weekend has 1 to {MAX_WEEKEND} days")]
    Weekend,
    /// More days of its own than a place can have.
    #[error("at most {MAX_OWN_DAYS} own days of each kind")]
    TooManyDays,
}

/// Where a controller sits.
#[derive(Debug, Clone)]
pub struct Place {
    zone: TimeZone,
    pub(super) calendar: Calendar,
}

/// The free days of one place, as its country and its controller have them.
#[derive(Debug, Clone)]
pub(super) struct Calendar {
    country: [u8; 2],
    weekend: BTreeSet<DayName>,
    own: OwnDays,
    table: Option<&'static Country>,
}

/// The free days that count for one purpose.
pub(super) struct Week<'a> {
    calendar: &'a Calendar,
    law: Option<&'a WorkingDays>,
}

/// Why a day is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Free {
    Weekend(Weekday),
    Holiday(&'static str),
}

/// How far the country's table could be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coverage {
    Full,
    Years { from: i16, to: i16 },
    WeekendsOnly,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    version: String,
    #[serde(rename = "country")]
    countries: Vec<Country>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Country {
    code: String,
    #[serde(default = "saturday_and_sunday")]
    weekend: BTreeSet<DayName>,
    #[serde(default)]
    from: Option<i16>,
    #[serde(default)]
    to: Option<i16>,
    #[serde(default, deserialize_with = "by_date")]
    holidays: BTreeMap<Date, String>,
    #[expect(
        dead_code,
        reason = "it speaks to the reader of the file; the parser demands that it is there"
    )]
    source: String,
    #[expect(dead_code, reason = "as `source`")]
    certainty: Certainty,
}

/// The version of the embedded tables of free days.
#[must_use]
pub fn version() -> &'static str {
    &TABLES.version
}

impl Place {
    /// A place by its IANA time zone and ISO 3166-1 country; a country without a table has Saturday and Sunday free.
    pub fn new(zone: &str, country: &str, own: &OwnDays) -> Result<Self, PlaceError> {
        let zone = ZONES.get(zone).map_err(|_| PlaceError::Zone)?;
        Ok(Self {
            zone,
            calendar: Calendar::new(country, own)?,
        })
    }

    /// The time zone's IANA name.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The country's code.
    #[must_use]
    pub fn country(&self) -> &str {
        self.calendar.country()
    }

    /// The date on the wall there.
    pub(super) fn date(&self, at: Timestamp) -> Date {
        self.zone.to_datetime(at).date()
    }

    /// The last second of a date there, however long the day is.
    pub(super) fn end_of(&self, date: Date) -> Timestamp {
        let next = date.tomorrow().and_then(|next| next.to_zoned(self.zone.clone()));
        next.map_or(Timestamp::MAX, |next| next.timestamp() - SignedDuration::from_secs(1))
    }
}

impl Calendar {
    fn new(country: &str, own: &OwnDays) -> Result<Self, PlaceError> {
        let code = <[u8; 2]>::try_from(country.as_bytes())
            .ok()
            .filter(|code| code.iter().all(u8::is_ascii_uppercase));
        let table = TABLES.countries.iter().find(|table| table.code == country);
        let usual = || table.map_or_else(saturday_and_sunday, |table| table.weekend.clone());
        let weekend = own.weekend.clone().unwrap_or_else(usual);
        if !(1..=MAX_WEEKEND).contains(&weekend.len()) {
            return Err(PlaceError::Weekend);
        }
        if own.holidays.len().max(own.working.len()) > MAX_OWN_DAYS {
            return Err(PlaceError::TooManyDays);
        }
        Ok(Self {
            country: code.ok_or(PlaceError::Country)?,
            weekend,
            own: own.clone(),
            table,
        })
    }

    fn country(&self) -> &str {
        std::str::from_utf8(&self.country).expect("two ASCII capitals")
    }

    /// The free days that a law accepts: its own weekend and holidays, where this place has them too.
    pub(super) fn under<'a>(&'a self, law: &'a WorkingDays) -> Week<'a> {
        Week {
            calendar: self,
            law: Some(law),
        }
    }

    /// The free days as this place lives them: for contracts.
    pub(super) fn local(&self) -> Week<'_> {
        Week {
            calendar: self,
            law: None,
        }
    }
}

impl Week<'_> {
    /// Why a day is free; `None` for a working day.
    pub(super) fn free(&self, date: Date) -> Option<Free> {
        if self.is_weekend(date.weekday()) {
            return Some(Free::Weekend(date.weekday()));
        }
        if self.calendar.own.holidays.contains(&date) {
            return Some(Free::Holiday("the controller's own holiday"));
        }
        let table = self.table().filter(|_| !self.calendar.own.working.contains(&date))?;
        table.holidays.get(&date).map(|name| Free::Holiday(name))
    }

    /// The first working day from `date` on, `date` included.
    pub(super) fn roll(&self, date: Date) -> Date {
        self.working_days(date).next().unwrap_or(date)
    }

    /// The `count`-th working day after `date`.
    pub(super) fn after(&self, date: Date, count: u16) -> Date {
        let next = date.tomorrow().unwrap_or(date);
        self.working_days(next)
            .nth(usize::from(count.max(1)) - 1)
            .unwrap_or(Date::MAX)
    }

    /// The public holidays after `from` and up to `to`, with their names.
    pub(super) fn holidays(&self, from: Date, to: Date) -> Vec<(Date, &'static str)> {
        let named = |date| match self.free(date) {
            Some(Free::Holiday(name)) => Some((date, name)),
            _ => None,
        };
        days(from)
            .skip(1)
            .take_while(|date| *date <= to)
            .filter_map(named)
            .collect()
    }

    /// Whether the table covers all years between two dates.
    pub(super) fn coverage(&self, from: Date, to: Date) -> Coverage {
        match self.table().and_then(|table| table.from.zip(table.to)) {
            Some((first, last)) if first <= from.year() && to.year() <= last => Coverage::Full,
            Some((from, to)) => Coverage::Years { from, to },
            None => Coverage::WeekendsOnly,
        }
    }

    fn is_weekend(&self, day: Weekday) -> bool {
        let named = |known: &DayName| known.weekday() == day;
        self.calendar.weekend.iter().any(named) && self.law.is_none_or(|law| law.weekend.iter().any(named))
    }

    fn table(&self) -> Option<&'static Country> {
        let meant = |table: &&Country| self.law.is_none_or(|law| law.holidays_of.contains(&table.code));
        self.calendar.table.filter(meant)
    }

    fn working_days(&self, from: Date) -> impl Iterator<Item = Date> {
        days(from).filter(|date| self.free(*date).is_none())
    }
}

impl Period {
    /// The last day of a period that began with a receipt on `date`.
    pub(super) fn end(self, date: Date, week: &Week) -> Date {
        match self {
            Self::Months(months) => date.saturating_add(jiff::Span::new().months(months)),
            Self::Days(days) => date.saturating_add(jiff::Span::new().days(days)),
            Self::BusinessDays(days) => week.after(date, days),
        }
    }
}

impl DayName {
    fn weekday(self) -> Weekday {
        match self {
            Self::Monday => Weekday::Monday,
            Self::Tuesday => Weekday::Tuesday,
            Self::Wednesday => Weekday::Wednesday,
            Self::Thursday => Weekday::Thursday,
            Self::Friday => Weekday::Friday,
            Self::Saturday => Weekday::Saturday,
            Self::Sunday => Weekday::Sunday,
        }
    }
}

/// Every date from `from` on; ends where the calendar does.
fn days(from: Date) -> impl Iterator<Item = Date> {
    std::iter::successors(Some(from), |date| date.tomorrow().ok())
}

fn saturday_and_sunday() -> BTreeSet<DayName> {
    BTreeSet::from([DayName::Saturday, DayName::Sunday])
}

fn by_date<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Date, String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        date: Date,
        name: String,
    }
    let rows = Vec::<Row>::deserialize(deserializer)?;
    Ok(rows.into_iter().map(|row| (row.date, row.name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn place(country: &str, own: &str) -> Result<Place, PlaceError> {
        Place::new("Asia/Hebron", country, &toml::from_str(own).unwrap())
    }

    fn gdpr(place: &Place) -> Week<'_> {
        place
            .calendar
            .under(&crate::regime::Regime::known("gdpr").unwrap().working_days)
    }

    #[test]
    fn every_table_is_in_order() {
        for table in &TABLES.countries {
            assert!(
                Calendar::new(&table.code, &OwnDays::default()).is_ok(),
                "{}",
                table.code
            );
            assert_eq!(table.from.is_some(), !table.holidays.is_empty(), "{}", table.code);
            let years = table.from.unwrap_or(0)..=table.to.unwrap_or(0);
            assert!(
                table.holidays.keys().all(|date| years.contains(&date.year())),
                "{}",
                table.code
            );
            assert!(years.clone().all(|year| table.holidays.is_empty()
                || table.holidays.contains_key(&christmas(year))
                || table.code == "US"));
        }
    }

    fn christmas(year: i16) -> Date {
        Date::constant(year, 12, 25)
    }

    #[test]
    fn a_place_that_does_not_exist_is_refused() {
        let own = OwnDays::default();
        assert_eq!(Place::new("Mars/Olympus", "DE", &own).err(), Some(PlaceError::Zone));
        for country in ["de", "DEU", "", "Ü"] {
            assert_eq!(
                Place::new("Europe/Berlin", country, &own).err(),
                Some(PlaceError::Country),
                "{country}"
            );
        }
        assert_eq!(place("DE", "weekend = []").err(), Some(PlaceError::Weekend));
        assert_eq!(
            place("DE", r#"weekend = ["monday","tuesday","friday","sunday"]"#).err(),
            Some(PlaceError::Weekend)
        );
        assert!(toml::from_str::<OwnDays>("closed = []").is_err());
    }

    /// 2 October 2026 is a Friday.
    #[test]
    fn the_weekend_is_the_countrys_for_contracts_and_the_overlap_for_a_law() {
        let free = |week: &Week| {
            let days = days(date("2026-10-02")).take(4);
            days.map(|date| if week.free(date).is_some() { '-' } else { 'x' })
                .collect::<String>()
        };
        for (country, local, law) in [("JO", "--xx", "x-xx"), ("PT", "x--x", "x--x"), ("AE", "x--x", "x--x")] {
            let place = place(country, "").unwrap();
            assert_eq!(
                (free(&place.calendar.local()).as_str(), free(&gdpr(&place)).as_str()),
                (local, law),
                "{country}"
            );
        }
    }

    #[test]
    fn a_controllers_own_days_mend_the_table() {
        let berlin = place("DE", r#"holidays = ["2027-03-08"]"#).unwrap();
        assert_eq!(gdpr(&berlin).roll(date("2027-03-06")), date("2027-03-09"));
        let strict = place("US", r#"working = ["2026-07-03"]"#).unwrap();
        assert_eq!(
            strict.calendar.local().after(date("2026-06-26"), 10),
            date("2026-07-10")
        );
    }

    /// American holidays don't move a European deadline, nor the other way round.
    #[test]
    fn a_law_takes_the_holidays_of_its_own_countries() {
        let place = place("US", "").unwrap();
        assert_eq!(gdpr(&place).free(date("2026-07-03")), None);
        assert!(place.calendar.local().free(date("2026-07-03")).is_some());
        assert_eq!(
            gdpr(&place).coverage(date("2026-01-01"), date("2026-02-01")),
            Coverage::WeekendsOnly
        );
    }

    #[test]
    fn says_when_a_table_does_not_reach() {
        let place = place("DE", "").unwrap();
        let coverage = |to| gdpr(&place).coverage(date("2030-12-15"), date(to));
        assert_eq!(coverage("2030-12-31"), Coverage::Full);
        assert_eq!(coverage("2031-01-15"), Coverage::Years { from: 2025, to: 2030 });
    }

    /// Beirut turns its clocks back at midnight, so 23:59:59 comes twice: the day ends with the second.
    #[test]
    fn a_day_ends_with_its_last_second() {
        let beirut = Place::new("Asia/Beirut", "LB", &OwnDays::default()).unwrap();
        assert_eq!(beirut.end_of(date("2026-10-24")).to_string(), "2026-10-24T21:59:59Z");
        assert_eq!(beirut.end_of(Date::MAX), Timestamp::MAX);
        assert_eq!(beirut.calendar.local().after(Date::MAX, 3), Date::MAX);
    }
}
