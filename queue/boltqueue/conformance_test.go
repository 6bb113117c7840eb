package boltqueue

import (
	"testing"

	"github.com/postrider-mta/postrider/queue/queuetest"
)

func TestConformance(t *testing.T) { queuetest.Run(t, openHarness) }

func TestConformanceModel(t *testing.T) { queuetest.RunModel(t, openHarness) }
