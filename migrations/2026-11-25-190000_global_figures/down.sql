DROP TABLE global_figures;
