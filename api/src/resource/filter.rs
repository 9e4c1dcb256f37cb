//! Converts the `filter[…]` parameters of a query to SQL conditions.

use chrono::{DateTime, TimeDelta, Utc};
use media_database::pagination::Groups;
use media_domain::ids::least_at;
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, ExprTrait as _, Value,
    sea_query::{Expr, Func, LikeExpr},
};

use serde_json::Value as Json;

use super::{
    Column, Field, Operator, Resource,
    query_string::{QueryString, invalid},
};
use crate::jsonapi::ApiError;

/// The rows that a query selects.
pub(super) struct Filter<R: Resource> {
    /// The condition on the rows, apart from the groups.
    pub(super) condition: Condition,
    /// The groups of the rows.
    pub(super) groups: Option<Groups<Column<R>>>,
    /// Whether the condition selects a range of an index.
    pub(super) by_range: bool,
    /// The number of values in the lists of the filters.
    pub(super) values: usize,
}

/// The condition of a filter on its field.
enum Comparison {
    Null,
    Among(Vec<Value>),
    AtLeast(Value),
    AtMost(Value),
    NotNull,
    NotEqual { value: Value, nullable: bool },
    Prefix(String),
    Match(String),
    Member { name: String, values: Vec<String> },
}

/// The field of the project.
const PROJECT_FIELD: &str = "project_id";
/// The longest name of a member that a filter can compare.
const MAX_MEMBER_NAME_BYTES: usize = 64;
/// The most members that a list compares: each costs a comparison for every row that is read.
const MAX_MEMBERS: usize = 8;
/// The most groups that are read from an index one by one; more become an ordinary condition.
const MAX_GROUPS: usize = 8;
/// The largest difference between the time in an identifier and the row's time of creation: earlier versions of the
/// service read the clock twice.
const IDENTIFIER_SLACK: TimeDelta = TimeDelta::seconds(1);

/// Takes the parameters `filter[…]` out of a query.
pub(super) fn take_filter<R: Resource>(query: &mut QueryString) -> Result<Filter<R>, ApiError> {
    let mut comparisons = Vec::new();
    for field in R::FIELDS {
        for operator in field.operators {
            if *operator == Operator::Member {
                let members = take_members(query, field)?;
                comparisons.extend(members.into_iter().map(|member| (field, member)));
                continue;
            }
            let comparison = take_comparison(query, field, *operator)?;
            comparisons.extend(comparison.map(|comparison| (field, comparison)));
        }
    }
    let values = comparisons
        .iter()
        .map(|(_, comparison)| comparison.value_count())
        .sum();
    let is_prefix = |(_, comparison): &(_, Comparison)| matches!(comparison, Comparison::Prefix(_));
    let by_range = comparisons.iter().any(is_prefix);
    let groups = take_groups::<R>(&mut comparisons, by_range);
    let condition = comparisons
        .into_iter()
        .fold(Condition::all(), |all, (field, comparison)| {
            let period = comparison.period().filter(|_| field.ordered_by_id);
            let identifiers = period.map(|period| period.identifiers::<R>());
            all.add_option(identifiers)
                .add(comparison.condition(field.column))
        });
    Ok(Filter {
        condition,
        groups,
        by_range,
        values,
    })
}

/// Takes `filter[name.MEMBER]` out of a query, for every member.
fn take_members<E: EntityTrait>(
    query: &mut QueryString,
    field: &Field<E>,
) -> Result<Vec<Comparison>, ApiError> {
    let prefix = format!("filter[{}.", field.name);
    let mut members = Vec::new();
    for (parameter, text) in query.take_beginning_with(&prefix)? {
        let name = parameter[prefix.len()..].strip_suffix(']');
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        let name = name.filter(|name| {
            !name.is_empty() && name.len() <= MAX_MEMBER_NAME_BYTES && name.chars().all(is_plain)
        });
        let Some(name) = name else {
            let detail = "must name a member by 1 to 64 ASCII letters, digits, `_` and `-`";
            return Err(invalid(&parameter, detail));
        };
        if members.len() == MAX_MEMBERS {
            let detail = format!(
                "is one filter too many: at most {MAX_MEMBERS} members of `{}` can be compared",
                field.name
            );
            return Err(invalid(&parameter, &detail));
        }
        members.push(Comparison::Member {
            name: name.to_owned(),
            values: json_texts(&text),
        });
    }
    Ok(members)
}

/// The values as JSON that a text in a query stands for: the text, and the number or truth value that it spells.
fn json_texts(text: &str) -> Vec<String> {
    let mut texts = vec![Json::from(text).to_string()];
    if let Ok(plain @ (Json::Number(_) | Json::Bool(_))) = serde_json::from_str(text) {
        texts.push(plain.to_string());
    }
    texts
}

fn take_comparison<E: EntityTrait>(
    query: &mut QueryString,
    field: &Field<E>,
    operator: Operator,
) -> Result<Option<Comparison>, ApiError> {
    let parameter = field.parameter(operator);
    let parse = |text: &String| {
        let parsed = field.value_type.parse(text);
        parsed.map_err(|detail| invalid(&parameter, detail))
    };
    let list = match operator {
        Operator::In => query.take_list(&parameter)?,
        Operator::Equal => query.take_brackets(&parameter)?,
        _ => None,
    };
    if let Some(texts) = list {
        let values: Result<_, _> = texts.iter().map(parse).collect();
        return Ok(Some(Comparison::Among(values?)));
    }
    let Some(text) = query.take(&parameter)? else {
        return Ok(None);
    };
    Ok(Some(match operator {
        Operator::Equal if text.is_empty() && field.nullable => Comparison::Null,
        Operator::NotEqual if text.is_empty() && field.nullable => Comparison::NotNull,
        Operator::NotEqual => Comparison::NotEqual {
            value: parse(&text)?,
            nullable: field.nullable,
        },
        Operator::Exists => match text.as_str() {
            "true" => Comparison::NotNull,
            "false" => Comparison::Null,
            _ => return Err(invalid(&parameter, "must be true or false")),
        },
        Operator::Prefix => parse(&text).map(|_| Comparison::Prefix(text))?,
        Operator::Match => parse(&text).map(|_| Comparison::Match(text))?,
        Operator::Equal | Operator::In | Operator::Member => Comparison::Among(vec![parse(&text)?]),
        Operator::AtLeast => Comparison::AtLeast(parse(&text)?),
        Operator::AtMost => Comparison::AtMost(parse(&text)?),
    }))
}

/// Removes the comparison that an index serves best, and converts it to groups. If a range of an index is read instead,
/// only the project is taken, so that its index is not.
fn take_groups<R: Resource>(
    comparisons: &mut Vec<(&'static Field<R::Entity>, Comparison)>,
    by_range: bool,
) -> Option<Groups<Column<R>>> {
    let is_short = |comparison: &Comparison| match comparison {
        Comparison::Among(values) => values.len() <= MAX_GROUPS,
        _ => false,
    };
    let mut prefixes = R::INDEX_PREFIX_FIELDS
        .iter()
        .filter(|prefix| !by_range || **prefix == PROJECT_FIELD);
    let position = prefixes.find_map(|prefix| {
        comparisons
            .iter()
            .position(|(field, comparison)| field.name == *prefix && is_short(comparison))
    })?;
    let (field, Comparison::Among(values)) = comparisons.remove(position) else {
        return None;
    };
    let mut distinct = Vec::with_capacity(values.len());
    for value in values {
        if !distinct.contains(&value) {
            distinct.push(value);
        }
    }
    Some(Groups {
        column: field.column,
        values: distinct,
    })
}

impl Comparison {
    fn condition<C: ColumnTrait>(self, column: C) -> Condition {
        let all = Condition::all();
        match self {
            Self::Null => all.add(column.is_null()),
            Self::NotNull => all.add(column.is_not_null()),
            Self::Among(values) => match <[Value; 1]>::try_from(values) {
                Ok([only]) => all.add(column.eq(only)),
                Err(values) => all.add(column.is_in(values)),
            },
            Self::AtLeast(value) => all.add(column.gte(value)),
            Self::AtMost(value) => all.add(column.lte(value)),
            Self::NotEqual { value, nullable } => {
                let null = nullable.then(|| column.is_null());
                Condition::any().add(column.ne(value)).add_option(null)
            }
            // Both databases compare the bytes of these columns.
            Self::Prefix(prefix) => {
                let end = prefix_end(&prefix).map(|end| column.lt(end));
                all.add(column.gte(prefix)).add_option(end)
            }
            Self::Match(text) => {
                let column = Expr::col((column.entity_name(), column));
                all.add(Expr::from(Func::lower(column)).like(pattern(&text)))
            }
            // Both databases write the same JSON. The name has no character that ends the literal.
            Self::Member { name, values } => {
                let (table, column) = (column.entity_name().to_string(), column.to_string());
                let member = Expr::cust(format!("CAST({table}.{column} -> '{name}' AS text)"));
                all.add(member.is_in(values))
            }
        }
    }

    /// The number of values in the list.
    fn value_count(&self) -> usize {
        match self {
            Self::Among(values) => values.len(),
            Self::Member { values, .. } => values.len(),
            _ => 0,
        }
    }

    /// The period that the comparison selects, if it compares times.
    fn period(&self) -> Option<Period> {
        let time = |value: &Value| match value {
            Value::ChronoDateTimeUtc(time) => *time,
            _ => None,
        };
        let (begin, end) = match self {
            Self::Among(values) => match values.as_slice() {
                [only] => (time(only), time(only)),
                _ => return None,
            },
            Self::AtLeast(value) => (time(value), None),
            Self::AtMost(value) => (None, time(value)),
            _ => return None,
        };
        Some(Period { begin, end })
    }
}

/// The first text, in the order of bytes, after all texts that begin with a prefix; none if there is no such text.
fn prefix_end(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// The pattern of texts that contain this. Both databases know the two cases of ASCII letters in these columns.
fn pattern(text: &str) -> LikeExpr {
    const ESCAPE: char = '!';
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | ESCAPE) {
            pattern.push(ESCAPE);
        }
        pattern.push(c.to_ascii_lowercase());
    }
    pattern.push('%');
    LikeExpr::new(pattern).escape(ESCAPE)
}

/// A period of time, unbounded on a side without a time.
struct Period {
    begin: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
}

impl Period {
    /// A condition on the identifiers of the rows created in the period, which the index on them serves.
    fn identifiers<R: Resource>(&self) -> Condition {
        let from = |time: DateTime<Utc>| R::ID.gte(least_at(time - IDENTIFIER_SLACK));
        let to = |time: DateTime<Utc>| R::ID.lte(least_at(time + IDENTIFIER_SLACK));
        Condition::all()
            .add_option(self.begin.map(from))
            .add_option(self.end.map(to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_text() {
        for (prefix, end) in [
            ("a", Some("b")),
            ("2026/", Some("20260")),
            ("é", Some("ê")),
            ("a\u{10ffff}", Some("b")),
            ("\u{d7ff}", Some("\u{e000}")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(prefix_end(prefix).as_deref(), end, "{prefix:?}");
        }
    }

    #[test]
    fn a_text_stands_for_the_number_that_it_spells() {
        assert_eq!(json_texts("red"), [r#""red""#]);
        assert_eq!(json_texts("5"), [r#""5""#, "5"]);
        assert_eq!(json_texts("true"), [r#""true""#, "true"]);
        assert_eq!(json_texts("{}"), [r#""{}""#]);
    }
}
