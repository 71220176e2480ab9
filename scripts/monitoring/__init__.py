"""What is generated for Prometheus and Grafana: objectives with their alerts, and dashboards."""
