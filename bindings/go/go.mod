module libsentinel/sentinel

go 1.19
