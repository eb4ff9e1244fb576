// A stand-in for prometheus-adapter, whose module can't be had everywhere: the custom metrics API over
// Prometheus, with the same flags and the same file of rules, as far as Springtide's rules go. It
// serves metrics of pods only.
package main

import (
	"context"
	"flag"
	"net/http"
	"os"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	basecmd "sigs.k8s.io/custom-metrics-apiserver/pkg/cmd"
)

// Longest time for an answer of Prometheus: an HPA looks every 15 seconds.
const prometheusTimeout = 10 * time.Second

func main() {
	adapter := &basecmd.AdapterBase{Name: "prometheus-adapter"}
	config := adapter.Flags().String("config", "", "file of rules")
	url := adapter.Flags().String("prometheus-url", "http://localhost:9090", "address of Prometheus")
	relistInterval := adapter.Flags().Duration("metrics-relist-interval", time.Minute, "time between two looks at which series there are")
	maxAge := adapter.Flags().Duration("metrics-max-age", 0, "how far back such a look goes; the interval where it is 0")
	klog.InitFlags(nil)
	adapter.Flags().AddGoFlagSet(flag.CommandLine)
	if err := adapter.Flags().Parse(os.Args); err != nil {
		klog.Fatalf("flags: %v", err)
	}
	*maxAge = max(*maxAge, *relistInterval)

	rules, err := readRules(*config)
	if err != nil {
		klog.Fatalf("%s: %v", *config, err)
	}
	clientConfig, err := adapter.ClientConfig()
	if err != nil {
		klog.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(clientConfig)
	if err != nil {
		klog.Fatal(err)
	}
	prometheus := &prometheus{url: *url, client: &http.Client{Timeout: prometheusTimeout}}
	metrics := &podsMetrics{pods: client.CoreV1(), prometheus: prometheus, rules: rules}
	adapter.WithCustomMetrics(metrics)

	ctx := context.Background()
	go metrics.relist(ctx, *relistInterval, *maxAge)
	if err := adapter.Run(ctx); err != nil {
		klog.Fatal(err)
	}
}
