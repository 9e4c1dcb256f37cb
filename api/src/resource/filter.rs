//! Filters: from `filter[…]` in a query to SQL conditions.

use chrono::{DateTime, TimeDelta, Utc};
use media_database::pagination::Groups;
use media_domain::ids::least_at;
use sea_orm::{ColumnTrait, Condition, EntityTrait, Value, sea_query::SimpleExpr};

use super::{
    Column, Field, Operator, Resource,
    query_string::{QueryString, invalid},
};
use crate::jsonapi::ApiError;

/// The rows that a query asks for.
pub(super) struct Filter<R: Resource> {
    /// The condition on them, apart from the groups.
    pub(super) condition: Condition,
    /// The groups that they belong to.
    pub(super) groups: Option<Groups<Column<R>>>,
    /// The number of values in its lists.
    pub(super) values: usize,
}

/// The condition of a filter on its field.
enum Comparison {
    Null,
    Among(Vec<Value>),
    AtLeast(Value),
    AtMost(Value),
}

/// The most groups that an index is asked for; more become an ordinary condition.
const MAX_GROUPS: usize = 8;
/// The largest difference between the time in an identifier and the row's time of creation: earlier versions
/// read the clock twice.
const IDENTIFIER_SLACK: TimeDelta = TimeDelta::seconds(1);

/// Takes the parameters `filter[…]` out of a query.
pub(super) fn take_filter<R: Resource>(query: &mut QueryString) -> Result<Filter<R>, ApiError> {
    let mut asked = Vec::new();
    for field in R::FIELDS {
        for operator in field.operators {
            asked.extend(take_comparison(query, field, *operator)?.map(|asked| (field, asked)));
        }
    }
    let values = asked.iter().map(|(_, asked)| asked.listed()).sum();
    let groups = take_groups::<R>(&mut asked);
    let condition = asked
        .into_iter()
        .fold(Condition::all(), |all, (field, asked)| {
            let period = asked.period().filter(|_| field.ordered_by_id);
            let identifiers = period.map(|period| period.identifiers::<R>());
            all.add_option(identifiers)
                .add(asked.condition(field.column))
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

/// Takes out the comparison that an index serves best.
fn take_groups<R: Resource>(
    asked: &mut Vec<(&'static Field<R::Entity>, Comparison)>,
) -> Option<Groups<Column<R>>> {
    let few = |comparison: &Comparison| match comparison {
        Comparison::Among(values) => values.len() <= MAX_GROUPS,
        _ => false,
    };
    let place = R::INDEX_PREFIX_FIELDS.iter().find_map(|leading| {
        asked
            .iter()
            .position(|(field, asked)| field.name == *leading && few(asked))
    })?;
    let (field, Comparison::Among(mut values)) = asked.remove(place) else {
        return None;
    };
    let mut distinct = Vec::with_capacity(values.len());
    for value in values.drain(..) {
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

    /// The number of values in its list.
    fn listed(&self) -> usize {
        match self {
            Self::Among(values) => values.len(),
            _ => 0,
        }
    }

    /// The period that it selects, if it compares times.
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

/// A period of time, open where there is no bound.
struct Period {
    begin: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
}

impl Period {
    /// A condition on the identifiers of the rows created in it, which their index serves.
    fn identifiers<R: Resource>(&self) -> Condition {
        let from = |time: DateTime<Utc>| R::ID.gte(least_at(time - IDENTIFIER_SLACK));
        let to = |time: DateTime<Utc>| R::ID.lte(least_at(time + IDENTIFIER_SLACK));
        Condition::all()
            .add_option(self.begin.map(from))
            .add_option(self.end.map(to))
    }
}
