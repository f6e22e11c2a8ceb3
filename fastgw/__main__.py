from fastgw.cli.main import main

main()
