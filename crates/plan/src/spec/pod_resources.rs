//! Requests and limits of a pod. Omitted ones derive from the others.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use springtide_api::resources::{CPU, DEFAULTS, Limit, Resources, is_extended};

use crate::{
    quantity::{WHOLE, nanos},
    spec::{Invalid, invalid::InvalidResources},
};

/// The complete requests and limits of a pod.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PodResources {
    /// CPU and memory requests of a container.
    pub(crate) requests: BTreeMap<String, Quantity>,
    /// CPU and memory limits of a container. There is no CPU limit if it is unlimited.
    pub(crate) limits: BTreeMap<String, Quantity>,
    /// Extended resources. Their requests equal their limits.
    pub(crate) extended: BTreeMap<String, Quantity>,
    /// Whole cores that the server uses without a CPU limit: those of the default limit.
    pub(crate) cores_without_limit: Option<i32>,
}

impl PodResources {
    pub(crate) fn parse(resources: &Resources) -> Result<Self, Invalid> {
        Ok(Self::complete(resources)?)
    }

    fn complete(resources: &Resources) -> Result<Self, InvalidResources> {
        let mut complete = Self {
            requests: BTreeMap::new(),
            limits: BTreeMap::new(),
            extended: BTreeMap::new(),
            cores_without_limit: None,
        };
        let Resources { requests, limits } = resources;
        for (name, default_request, default_limit) in DEFAULTS {
            let default_request = Quantity(default_request.to_owned());
            let default_limit = Quantity(default_limit.to_owned());
            let (request, limit) = match (requests.get(name), limits.get(name)) {
                (None, None) => (default_request, Some(default_limit)),
                (Some(request), None) => (
                    request.clone(),
                    Some(greater(name, request, &default_limit)?.clone()),
                ),
                (None, Some(Limit::Amount(limit))) => (
                    lesser(name, &default_request, limit)?.clone(),
                    Some(limit.clone()),
                ),
                (Some(request), Some(Limit::Amount(limit))) => {
                    if amount(name, request)? > amount(name, limit)? {
                        return Err(InvalidResources::AboveLimit(name.to_owned()));
                    }
                    (request.clone(), Some(limit.clone()))
                }
                (request, Some(Limit::Unlimited)) if name == CPU => {
                    let request = request.unwrap_or(&default_request);
                    let limit = amount(name, greater(name, request, &default_limit)?)?;
                    let cores = i32::try_from(limit.div_euclid(WHOLE)).unwrap_or(i32::MAX);
                    complete.cores_without_limit = Some(cores);
                    (request.clone(), None)
                }
                (_, Some(Limit::Unlimited)) => {
                    return Err(InvalidResources::Unlimited(name.to_owned()));
                }
            };
            complete.requests.insert(name.to_owned(), request);
            complete
                .limits
                .extend(limit.map(|limit| (name.to_owned(), limit)));
        }
        complete.extended = extended(resources)?;
        Ok(complete)
    }
}

/// Extended resources: the limit equals the request.
fn extended(resources: &Resources) -> Result<BTreeMap<String, Quantity>, InvalidResources> {
    let is_other = |name: &str| DEFAULTS.iter().all(|(known, ..)| *known != name);
    let mut extended = BTreeMap::<String, Quantity>::new();
    for (name, limit) in &resources.limits {
        match limit {
            _ if !is_other(name) => {}
            Limit::Amount(limit) => {
                extended.insert(name.clone(), whole(name, limit)?);
            }
            Limit::Unlimited => return Err(InvalidResources::Unlimited(name.clone())),
        }
    }
    for (name, request) in &resources.requests {
        if !is_other(name) {
            continue;
        }
        let request = whole(name, request)?;
        if extended
            .get(name)
            .is_some_and(|limit| nanos(&limit.0) != nanos(&request.0))
        {
            return Err(InvalidResources::NotLimit(name.clone()));
        }
        extended.entry(name.clone()).or_insert(request);
    }
    Ok(extended)
}

fn whole(name: &str, quantity: &Quantity) -> Result<Quantity, InvalidResources> {
    if !is_extended(name) {
        return Err(InvalidResources::Name(name.to_owned()));
    }
    if amount(name, quantity)? % WHOLE == 0 {
        Ok(quantity.clone())
    } else {
        Err(InvalidResources::Amount(name.to_owned()))
    }
}

/// A positive quantity in nanos.
fn amount(name: &str, quantity: &Quantity) -> Result<i128, InvalidResources> {
    nanos(&quantity.0)
        .filter(|amount| *amount > 0)
        .ok_or_else(|| InvalidResources::Amount(name.to_owned()))
}

fn greater<'a>(
    name: &str,
    one: &'a Quantity,
    other: &'a Quantity,
) -> Result<&'a Quantity, InvalidResources> {
    let is_greater = amount(name, one)? > amount(name, other)?;
    Ok(if is_greater { one } else { other })
}

fn lesser<'a>(
    name: &str,
    one: &'a Quantity,
    other: &'a Quantity,
) -> Result<&'a Quantity, InvalidResources> {
    let is_lesser = amount(name, one)? < amount(name, other)?;
    Ok(if is_lesser { one } else { other })
}

#[cfg(test)]
mod tests;
