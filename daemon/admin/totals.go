package admin

import (
	"net/http"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

// totals takes from the metrics what the command line makes rates of.
func (s *Server) totals(*http.Request) (any, error) {
	families, err := s.options.Gatherer.Gather()
	if err != nil {
		return nil, err
	}
	totals := api.Totals{Outcomes: map[string]int64{}}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			value := int64(metric.GetCounter().GetValue())
			switch family.GetName() {
			case "postrider_submission_messages_accepted_total":
				totals.Accepted = value
			case "postrider_delivery_outcomes_total":
				for _, label := range metric.GetLabel() {
					totals.Outcomes[label.GetValue()] += value
				}
			}
		}
	}
	return totals, nil
}
