//! Dates as C's `strftime` writes them, in English and UTC: what templates ask of `strftime_now`.

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Date and time of day.
struct CalendarTime {
    year: u64,
    /// From 1.
    month: u64,
    /// From 1.
    day: u64,
    /// From 1.
    day_of_year: u64,
    /// From Sunday, 0.
    weekday: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl CalendarTime {
    /// The moment that many seconds after 1970 began.
    fn new(unix: u64) -> Self {
        let (days, second) = (unix / 86_400, unix % 86_400);
        // Years counted from March, so that the leap day is the last: Howard Hinnant's civil_from_days.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let since_march = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * since_march + 2) / 153;
        let day = since_march - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        // 1 March is day 60 of the year, or 61 in a leap year.
        let day_of_year = if month <= 2 { since_march - 306 + 1 } else { since_march + 60 + u64::from(leap) };
        Self {
            year,
            month,
            day,
            day_of_year,
            weekday: (days + 4) % 7,
            hour: second / 3_600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }

    fn month_name(&self) -> &'static str {
        MONTHS.get(self.month.saturating_sub(1) as usize).copied().unwrap_or_default()
    }

    fn day_name(&self) -> &'static str {
        DAYS.get(self.weekday as usize).copied().unwrap_or_default()
    }
}

/// The moment `unix` seconds after 1970 began, in `format`. A directive that is not known stays as it
/// is written.
pub(super) fn format(unix: u64, format: &str) -> String {
    let moment = CalendarTime::new(unix);
    let mut out = String::with_capacity(format.len());
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let mut directive = letters.next();
        let padded = directive != Some('-');
        if !padded {
            directive = letters.next();
        }
        match directive.and_then(|directive| expand(&moment, directive)) {
            Some(text) if padded => out.push_str(&text),
            Some(text) => {
                let unpadded = text.trim_start_matches('0');
                out.push_str(if unpadded.is_empty() { "0" } else { unpadded });
            }
            None => {
                out.push_str(if padded { "%" } else { "%-" });
                out.extend(directive);
            }
        }
    }
    out
}

fn expand(moment: &CalendarTime, directive: char) -> Option<String> {
    let CalendarTime { year, month, day, day_of_year, weekday, hour, minute, second } = *moment;
    let short = |name: &str| name.chars().take(3).collect::<String>();
    let hour_of_half = if hour % 12 == 0 { 12 } else { hour % 12 };
    Some(match directive {
        'Y' => format!("{year:04}"),
        'y' => format!("{:02}", year % 100),
        'm' => format!("{month:02}"),
        'B' => moment.month_name().to_string(),
        'b' | 'h' => short(moment.month_name()),
        'd' => format!("{day:02}"),
        'e' => format!("{day:2}"),
        'j' => format!("{day_of_year:03}"),
        'A' => moment.day_name().to_string(),
        'a' => short(moment.day_name()),
        'w' => weekday.to_string(),
        'H' => format!("{hour:02}"),
        'I' => format!("{hour_of_half:02}"),
        'p' => if hour < 12 { "AM" } else { "PM" }.to_string(),
        'M' => format!("{minute:02}"),
        'S' => format!("{second:02}"),
        'F' => format!("{year:04}-{month:02}-{day:02}"),
        'T' => format!("{hour:02}:{minute:02}:{second:02}"),
        'Z' => "UTC".to_string(),
        'z' => "+0000".to_string(),
        '%' => "%".to_string(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::format;

    /// Python: `datetime.fromtimestamp(unix, timezone.utc).strftime(...)`.
    #[test]
    fn dates_are_pythons() {
        let all = "%Y-%m-%d %H:%M:%S %j %A %b %-d %I %p %y %%";
        assert_eq!(format(0, all), "1970-01-01 00:00:00 001 Thursday Jan 1 12 AM 70 %");
        assert_eq!(format(951_782_399, all), "2000-02-28 23:59:59 059 Monday Feb 28 11 PM 00 %");
        assert_eq!(format(951_782_400, all), "2000-02-29 00:00:00 060 Tuesday Feb 29 12 AM 00 %");
        assert_eq!(format(1_735_689_599, all), "2024-12-31 23:59:59 366 Tuesday Dec 31 11 PM 24 %");
        assert_eq!(format(1_740_787_200, all), "2025-03-01 00:00:00 060 Saturday Mar 1 12 AM 25 %");
    }

    #[test]
    fn unknown_directives_stay() {
        assert_eq!(format(0, "%Q %-Q 100%"), "%Q %-Q 100%");
    }
}
