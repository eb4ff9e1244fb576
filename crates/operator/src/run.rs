//! Runs the operator from its settings to its end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use futures::future::{Either, select};
use kube::{Client, Config};
use springtide_process::{
    listener::listen,
    logging::{self, EnvFilter},
};
use tracing::{error, info, warn};

use crate::{
    access::Access,
    claims::{Claims, hold},
    controller,
    http::{Endpoints, serve},
    leader::{Candidate, Election},
    metrics::Metrics,
    pod_status::HttpPodStatusClient,
    readiness::Readiness,
    reconcile::Context,
    settings::{ListenAddress, LogFormat, Settings},
    shutdown,
};

/// Durations of client-go's leader election, which most controllers use.
const LEASE_DURATION: Duration = Duration::from_secs(15);
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// Runs the operator until SIGTERM or SIGINT.
///
/// # Errors
///
/// If it can't start, or if it loses its lease: the process must then exit at once, without finishing its work.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    log(&settings)?;
    if settings.watch_namespace.is_some() {
        warn!(
            "--watch-namespace and WATCH_NAMESPACE are read for one more release: use --watch-namespaces"
        );
    }
    let shutdown = shutdown::on_signal()?;
    let mut config = Config::infer().await.context(
        "no cluster: neither a pod's service account nor a kubeconfig was found (set KUBECONFIG)",
    )?;
    // Reconciles have a backoff per object and a timeout, the lease has its own deadline.
    config.default_retry = false;
    let lease_namespace = settings
        .lease_namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).context("the client can't be made")?;

    let metrics = Metrics::new()?;
    let readiness = Readiness::default();
    let endpoints = Endpoints {
        metrics: metrics.clone(),
        readiness: readiness.clone(),
        access: settings
            .metrics_authentication
            .then(|| Arc::new(Access::new(client.clone()))),
    };
    let ListenAddress { host, port } = settings.listen;
    let (listener, _) = listen(host, port).map_err(|(address, error)| {
        anyhow!(error).context(format!("can't listen on {address} (--listen)"))
    })?;
    let server = tokio::spawn(serve(listener, endpoints));

    let identity = settings.identity();
    // The same for all replicas.
    let claim_identity = format!("{lease_namespace}/{}", settings.lease_name);
    let claims = Claims::new(settings.operator_class.clone(), claim_identity);
    let context = Context::new(
        client.clone(),
        settings.for_plans(),
        metrics.clone(),
        identity.clone(),
        Arc::new(HttpPodStatusClient::new()),
        settings.upgrades(),
    )
    .claiming(claims.clone());
    let holding = hold(
        client.clone(),
        claims,
        settings.scope(),
        lease_namespace.clone(),
    );
    let acting = async {
        if !settings.leader_election {
            metrics.set_leading(true);
            let work = controller::run(context, &settings, &readiness, shutdown.clone());
            select(Box::pin(work), Box::pin(holding)).await;
            return Ok(());
        }
        let election = Election {
            namespace: lease_namespace,
            name: settings.lease_name.clone(),
            identity,
            labels: BTreeMap::new(),
            lease_duration: LEASE_DURATION,
            renew_deadline: RENEW_DEADLINE,
            retry_period: RETRY_PERIOD,
        };
        let mut candidate = Candidate::new(client, election, readiness.clone());
        tokio::select! {
            () = candidate.acquire() => {}
            () = shutdown::begun(shutdown.clone()) => return Ok(()),
        }
        metrics.set_leading(true);
        let work = Box::pin(controller::run(
            context,
            &settings,
            &readiness,
            shutdown.clone(),
        ));
        let acting = select(work, Box::pin(holding));
        let lost = match select(acting, Box::pin(candidate.hold())).await {
            Either::Left(_) => None,
            Either::Right((lost, _)) => Some(lost),
        };
        metrics.set_leading(false);
        if let Some(lost) = lost {
            error!(%lost, "the operator stops: it is no longer the leader");
            bail!(lost);
        }
        candidate.release().await;
        Ok(())
    };
    let result = tokio::select! {
        result = acting => result,
        served = server => match served {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error).context("probes and metrics"),
            Err(error) => Err(error).context("probes and metrics"),
        },
    };
    info!("the operator has stopped");
    result
}

fn log(settings: &Settings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.log_filter)
        .with_context(|| format!("--log-filter {:?}", settings.log_filter))?;
    let format = match settings.log_format {
        LogFormat::Json => logging::Format::Json,
        LogFormat::Text => logging::Format::Text,
    };
    logging::start(filter, format, std::io::stdout);
    Ok(())
}
