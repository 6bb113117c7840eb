package admin

import (
	"net/http"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/internal/person"
	"github.com/postrider-mta/postrider/privacy"
)

// subject does one privacy duty and reports what each store had of it.
func (s *Server) subject(r *http.Request) (any, error) {
	request, subject, err := decodeSubject(r)
	if err != nil {
		return nil, err
	}
	var counts []privacy.Count
	switch duty := r.PathValue("duty"); duty {
	case "find":
		counts, err = s.options.Privacy.Find(r.Context(), subject)
	case "erase":
		counts, err = s.options.Privacy.Erase(r.Context(), subject)
	case "rectify":
		to, parseError := mail.ParseAddress(request.To)
		if parseError != nil {
			return nil, fail(http.StatusBadRequest, "to: "+parseError.Error())
		}
		counts, err = s.options.Privacy.Rectify(r.Context(), subject, to)
	default:
		return nil, fail(http.StatusNotFound, "no such duty")
	}
	report := api.SubjectReport{Stores: []api.StoreCount{}}
	for _, c := range counts {
		report.Stores = append(report.Stores, api.StoreCount{Store: c.Holder, Records: c.Count})
	}
	return report, err
}

// export streams what is kept, a JSON object a line.
func (s *Server) export(w http.ResponseWriter, r *http.Request) {
	_, subject, err := decodeSubject(r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	lines := s.stream(w)
	err = s.options.Privacy.Export(r.Context(), subject, func(holder string, record person.Record) error {
		return lines.write(struct {
			Store string `json:"store"`
			person.Record
		}{holder, record})
	})
	lines.end(r, err)
}

func decodeSubject(r *http.Request) (api.SubjectRequest, person.Subject, error) {
	request, err := decode[api.SubjectRequest](r)
	if err != nil {
		return request, person.Subject{}, err
	}
	address, err := mail.ParseAddress(request.Address)
	if err != nil {
		return request, person.Subject{}, fail(http.StatusBadRequest, "address: "+err.Error())
	}
	if request.Tenant == "" {
		return request, person.Subject{}, fail(http.StatusBadRequest, "tenant is missing")
	}
	return request, person.Subject{Tenant: request.Tenant, Address: address}, nil
}
