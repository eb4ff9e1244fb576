//! Quantities as the API server writes them back
//! (<https://pkg.go.dev/k8s.io/apimachinery/pkg/api/resource#Quantity>): what is applied can then be
//! compared with what is there.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A whole number.
pub(crate) fn whole(number: i32) -> Quantity {
    if number != 0 && number % 1_000_000 == 0 {
        Quantity(format!("{}M", number / 1_000_000))
    } else if number != 0 && number % 1000 == 0 {
        Quantity(format!("{}k", number / 1000))
    } else {
        Quantity(number.to_string())
    }
}

/// So many MiB.
pub(crate) fn mebibytes(number: i32) -> Quantity {
    if number % 1024 == 0 {
        Quantity(format!("{}Gi", number / 1024))
    } else {
        Quantity(format!("{number}Mi"))
    }
}

/// So many thousandths.
pub(crate) fn thousandths(number: i32) -> Quantity {
    if number % 1000 == 0 {
        whole(number / 1000)
    } else {
        Quantity(format!("{number}m"))
    }
}
