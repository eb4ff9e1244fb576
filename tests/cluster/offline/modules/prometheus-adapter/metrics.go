package main

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/klog/v2"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
)

var podResource = schema.GroupResource{Resource: "pods"}

// Metrics of pods, for the custom metrics API.
type podsMetrics struct {
	pods       corev1.PodsGetter
	prometheus *prometheus
	rules      []rule

	mutex sync.RWMutex
	// The rules whose series there were at the last look that succeeded.
	present []rule
}

// Looks again and again which of the rules' series there are. A look that fails changes nothing.
func (m *podsMetrics) relist(ctx context.Context, interval, maxAge time.Duration) {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		var present []rule
		for _, rule := range m.rules {
			has, err := m.prometheus.has(ctx, rule.seriesQuery, maxAge)
			if err != nil {
				klog.Errorf("series of %s: %v", rule.name, err)
				return
			}
			if has {
				present = append(present, rule)
			}
		}
		m.mutex.Lock()
		defer m.mutex.Unlock()
		m.present = present
	}, interval)
}

func (m *podsMetrics) ListAllMetrics() []provider.CustomMetricInfo {
	m.mutex.RLock()
	defer m.mutex.RUnlock()
	listed := []provider.CustomMetricInfo{}
	for _, rule := range m.present {
		listed = append(listed, provider.CustomMetricInfo{GroupResource: podResource, Namespaced: true, Metric: rule.name})
	}
	return listed
}

func (m *podsMetrics) GetMetricByName(ctx context.Context, pod types.NamespacedName, info provider.CustomMetricInfo, _ labels.Selector) (*custom_metrics.MetricValue, error) {
	found, err := m.values(ctx, info, pod.Namespace, []string{pod.Name})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, provider.NewMetricNotFoundForError(info.GroupResource, info.Metric, pod.Name)
	}
	return &found[0], nil
}

func (m *podsMetrics) GetMetricBySelector(ctx context.Context, namespace string, selector labels.Selector, info provider.CustomMetricInfo, _ labels.Selector) (*custom_metrics.MetricValueList, error) {
	pods, err := m.pods.Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(pods.Items))
	for _, pod := range pods.Items {
		names = append(names, pod.Name)
	}
	found, err := m.values(ctx, info, namespace, names)
	return &custom_metrics.MetricValueList{Items: found}, err
}

// The values of a metric, of those of the pods that have one.
func (m *podsMetrics) values(ctx context.Context, info provider.CustomMetricInfo, namespace string, pods []string) ([]custom_metrics.MetricValue, error) {
	rule, err := m.rule(info)
	if err != nil {
		return nil, err
	}
	query, err := rule.queryFor(namespace, pods)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	answer, err := m.prometheus.query(ctx, query, rule.podLabel)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("asking Prometheus: %w", err))
	}
	values := make([]custom_metrics.MetricValue, 0, len(answer))
	for _, pod := range pods {
		value, found := answer[pod]
		if !found {
			continue
		}
		values = append(values, custom_metrics.MetricValue{
			DescribedObject: custom_metrics.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: pod},
			Metric:          custom_metrics.MetricIdentifier{Name: info.Metric},
			Timestamp:       metav1.Now(),
			Value:           *resource.NewMilliQuantity(int64(math.Round(value*1000)), resource.DecimalSI),
		})
	}
	return values, nil
}

func (m *podsMetrics) rule(info provider.CustomMetricInfo) (rule, error) {
	m.mutex.RLock()
	defer m.mutex.RUnlock()
	for _, rule := range m.present {
		if info.GroupResource == podResource && info.Metric == rule.name {
			return rule, nil
		}
	}
	return rule{}, provider.NewMetricNotFoundError(info.GroupResource, info.Metric)
}
