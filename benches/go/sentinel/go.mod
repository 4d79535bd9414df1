module bench

go 1.19

require libsentinel/sentinel v0.1.0

replace libsentinel/sentinel => ../../../bindings/go
