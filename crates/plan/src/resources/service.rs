//! The Service: the address of the model.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::container::HTTP_PORT_NAME;
use crate::{labels, validated::ValidatedModelService};

/// TCP port of the Service.
const PORT: i32 = 80;

pub(super) fn build(model_service: &ValidatedModelService) -> Service {
    Service {
        metadata: model_service.child_metadata(),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(labels::selecting(model_service.name())),
            ports: Some(vec![ServicePort {
                name: Some(HTTP_PORT_NAME.to_owned()),
                protocol: Some("TCP".to_owned()),
                app_protocol: Some("http".to_owned()),
                port: PORT,
                target_port: Some(IntOrString::String(HTTP_PORT_NAME.to_owned())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}
