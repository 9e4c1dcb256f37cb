//! Converts the `filter[…]` parameters of a query to SQL conditions.

use chrono::{DateTime, TimeDelta, Utc};
use media_shared::{ids::least_at, list::Groups};
use sea_orm::{ColumnTrait, Condition, EntityTrait, Value, sea_query::SimpleExpr};

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
    /// The number of values in the lists of the filters.
    pub(super) values: usize,
}

/// The condition of a filter on its field.
enum Comparison {
    Null,
    Among(Vec<Value>),
    AtLeast(Value),
    AtMost(Value),
}

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
            let comparison = take_comparison(query, field, *operator)?;
            comparisons.extend(comparison.map(|comparison| (field, comparison)));
        }
    }
    let values = comparisons
        .iter()
        .map(|(_, comparison)| comparison.value_count())
        .sum();
    let groups = take_groups::<R>(&mut comparisons);
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
        values,
    })
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
    if operator == Operator::In {
        let texts = query.take_list(&parameter)?;
        let values = texts.map(|texts| texts.iter().map(parse).collect());
        return Ok(values.transpose()?.map(Comparison::Among));
    }
    let Some(text) = query.take(&parameter)? else {
        return Ok(None);
    };
    Ok(Some(match operator {
        Operator::Equal if text.is_empty() && field.nullable => Comparison::Null,
        Operator::Equal | Operator::In => Comparison::Among(vec![parse(&text)?]),
        Operator::AtLeast => Comparison::AtLeast(parse(&text)?),
        Operator::AtMost => Comparison::AtMost(parse(&text)?),
    }))
}

/// Removes the comparison that an index serves best, and converts it to groups.
fn take_groups<R: Resource>(
    comparisons: &mut Vec<(&'static Field<R::Entity>, Comparison)>,
) -> Option<Groups<Column<R>>> {
    let is_short = |comparison: &Comparison| match comparison {
        Comparison::Among(values) => values.len() <= MAX_GROUPS,
        _ => false,
    };
    let position = R::INDEX_PREFIX_FIELDS.iter().find_map(|prefix| {
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
    fn condition<C: ColumnTrait>(self, column: C) -> SimpleExpr {
        match self {
            Self::Null => column.is_null(),
            Self::Among(values) => match <[Value; 1]>::try_from(values) {
                Ok([only]) => column.eq(only),
                Err(values) => column.is_in(values),
            },
            Self::AtLeast(value) => column.gte(value),
            Self::AtMost(value) => column.lte(value),
        }
    }

    /// The number of values in the list.
    fn value_count(&self) -> usize {
        match self {
            Self::Among(values) => values.len(),
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
            Self::Null => return None,
        };
        Some(Period { begin, end })
    }
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
